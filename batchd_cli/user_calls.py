"""The client's calls about users and permissions."""

from batchd_cli.calls import Calls, make_path
from batchd_cli.errors import ProtocolError
from batchd_cli.records import Myself, Permission


class UserCalls(Calls):
    """Who may do what."""

    def whoami(self) -> Myself:
        return Myself.from_json(self._get("/whoami"))

    def users(self) -> list[str]:
        return self._names("/user")

    def create_user(self, name: str, password: str) -> str:
        return str(self._send("POST", "/user", {"name": name, "password": password}))

    def set_password(self, name: str, password: str) -> None:
        self._send("PUT", make_path("user", name), {"password": password})

    def delete_user(self, name: str) -> None:
        """Their jobs keep the name. Errors: refused for the last superuser."""
        self._send("DELETE", make_path("user", name))

    def permissions(self, user: str) -> list[Permission]:
        pairs = self._list("GET", make_path("user", user, "permissions"))
        try:
            return [Permission.from_json({**record, "id": number}) for number, record in pairs]
        except (TypeError, ValueError) as error:
            raise ProtocolError(f"permissions that are no pairs: {error}") from error

    def grant(self, user: str, permission: Permission) -> int:
        body = {
            "user_name": user,
            "permission": permission.permission,
            "queue_name": permission.queue_name,
            "type_name": permission.type_name,
            "host_name": permission.host_name,
        }
        return self._number(self._send("POST", make_path("user", user, "permissions"), body))

    def revoke(self, user: str, number: int) -> None:
        self._send("DELETE", make_path("user", user, "permissions", str(number)))
