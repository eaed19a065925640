from batchd_flows.flow_command import CommandFailed as CommandFailed
from batchd_flows.flow_command import CommandResult as CommandResult
from batchd_flows.python_types import InputFile as InputFile
from batchd_flows.python_types import OutputFile as OutputFile
from batchd_flows.python_types import job_type as job_type
from batchd_flows.type_flow import TypeFlow as TypeFlow
from batchd_flows.type_flow import job_flow as job_flow
