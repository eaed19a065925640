"""/user, /whoami"""

from __future__ import annotations

from batchd_api.answers import DONE, JsonAnswer
from batchd_api.dependencies import Name, TheBody, TheCaller, TheServices, permission_id_of
from batchd_api.people import new_grant, new_password, new_user


def whoami(caller: TheCaller) -> JsonAnswer:
    """Who asks and what they may do: a page offers nothing else."""
    return JsonAnswer({"name": caller.name, "permissions": [grant.record() for grant in caller.grants]})


def list_users(services: TheServices) -> JsonAnswer:
    return JsonAnswer(services.users.names())


def create_user(services: TheServices, body: TheBody) -> JsonAnswer:
    name, password = new_user(body)
    return JsonAnswer(services.users.create(name, password))


def change_password(services: TheServices, name: Name, body: TheBody) -> JsonAnswer:
    services.users.set_password(name, new_password(body))
    return JsonAnswer(DONE)


def delete_user(services: TheServices, name: Name) -> JsonAnswer:
    services.users.delete(name)
    return JsonAnswer(DONE)


def list_permissions(services: TheServices, name: Name) -> JsonAnswer:
    return JsonAnswer(services.permissions.of(name))


def grant_permission(services: TheServices, name: Name, body: TheBody) -> JsonAnswer:
    return JsonAnswer(services.permissions.grant(name, new_grant(body)))


def revoke_permission(services: TheServices, name: Name, permission_id: str) -> JsonAnswer:
    services.permissions.revoke(name, permission_id_of(permission_id))
    return JsonAnswer(DONE)
