from batchd_cli.client import Client as Client
from batchd_cli.client import basic as basic
from batchd_cli.client import user_header as user_header
from batchd_cli.errors import BatchError as BatchError
from batchd_cli.handle import JobHandle as JobHandle
