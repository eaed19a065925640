"""What a controller's file may say for the driver `awsec2`."""

import difflib
import re
from dataclasses import dataclass
from types import MappingProxyType

from pydantic import SecretStr

from batchd_infra.addresses import AddressKind
from batchd_infra.config_files import Fields

# The names of an older library; files that have them go on working.
OLD_REGIONS = MappingProxyType(
    {
        "northvirginia": "us-east-1",
        "virginia": "us-east-1",
        "ohio": "us-east-2",
        "oregon": "us-west-2",
        "northcalifornia": "us-west-1",
        "ireland": "eu-west-1",
        "london": "eu-west-2",
        "frankfurt": "eu-central-1",
        "tokyo": "ap-northeast-1",
        "seoul": "ap-northeast-2",
        "singapore": "ap-southeast-1",
        "sydney": "ap-southeast-2",
        "mumbai": "ap-south-1",
        "saopaulo": "sa-east-1",
        "montreal": "ca-central-1",
        "beijing": "cn-north-1",
        "govcloud": "us-gov-west-1",
        "govcloudfips": "us-gov-west-1",
    }
)
FIPS_REGION = "govcloudfips"
_REGION = re.compile(r"[a-z]{2,8}(-[a-z]+){1,3}-\d{1,2}")  # those of years to come, too


@dataclass(frozen=True, kw_only=True)
class Ec2Settings:
    """Without keys and without `credentials_path`, credentials are discovered as AWS's own tools do.

    `region` None: also the region is; `endpoint_url` None: AWS.
    """

    region: str | None = None
    fips: bool = False
    credentials_path: str | None = None
    profile: str | None = None
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    address: AddressKind = AddressKind.PUBLIC
    endpoint_url: str | None = None


def read_ec2_settings(fields: Fields) -> Ec2Settings:
    region = fields.text("region") or ""
    name = region.lower()
    endpoint_url = fields.text("endpoint_url")
    if name and endpoint_url is None and name not in OLD_REGIONS and not _REGION.fullmatch(name):
        nearest = difflib.get_close_matches(name[:80], OLD_REGIONS, n=1)
        hint = f"; did you mean {nearest[0].title()!r}?" if nearest else ""
        raise fields.error("region", f"must be a code such as 'eu-central-1', not {region[:80]!r}{hint}")
    path, profile, access_key, secret_key = _read_credentials(fields)
    return Ec2Settings(
        region=OLD_REGIONS.get(name, region) or None,
        fips=name == FIPS_REGION,
        credentials_path=path,
        profile=profile,
        access_key=access_key,
        secret_key=secret_key,
        address=fields.choice("address", AddressKind) or AddressKind.PUBLIC,
        endpoint_url=endpoint_url,
    )


def _read_credentials(
    fields: Fields,
) -> tuple[str | None, str | None, SecretStr | None, SecretStr | None]:
    if not fields.is_mapping("credentials"):
        word = fields.text("credentials")
        if word is not None and word.lower() != "discover":
            raise fields.error(
                "credentials", "must be discover, path and profile, or access_key and secret_key"
            )
        return None, None, None, None
    given = fields.section("credentials")
    texts = {key: given.text(key) for key in ("path", "profile", "access_key", "secret_key")}
    given.finish()
    if bool(texts["access_key"]) != bool(texts["secret_key"]):
        raise fields.error("credentials", "needs both access_key and secret_key")
    if texts["access_key"] and (texts["path"] or texts["profile"]):
        raise fields.error("credentials", "has keys and a file: which of them is meant?")
    return texts["path"], texts["profile"], _secret(texts["access_key"]), _secret(texts["secret_key"])


def _secret(text: str | None) -> SecretStr | None:
    return SecretStr(text) if text else None
