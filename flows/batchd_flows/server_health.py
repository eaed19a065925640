"""Whether a Prefect server answers: one question without credentials, retries or Prefect's client."""

import httpx


async def answers_healthy(api_url: str, *, timeout_seconds: float = 3.0) -> bool:
    transport = httpx.AsyncHTTPTransport(verify=api_url.startswith("https:"), trust_env=False)
    try:
        async with httpx.AsyncClient(transport=transport, timeout=timeout_seconds) as client:
            answer = await client.get(f"{api_url}/health")
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK and answer.text.strip() == "true"
