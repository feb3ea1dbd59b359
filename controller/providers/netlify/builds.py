from controller.providers.call import Call
from controller.providers.exchange import Ask
from controller.providers.netlify.models import Build, Deploy, DeployList
from controller.providers.netlify.noun import Noun, part

PAGE = 20


class Builds(Noun):
    """Builds, and the deploys in which they end."""

    async def trigger_build(self, site: str, *, title: str = "", call: Call) -> Build:
        """Build the site's production branch; a repetition is a second build.

        A lost answer leaves it open whether one was triggered: give a title that is the
        intent's own, and look for it in `list_deploys`.

        Args:
            site: The site's id.
            title: What the deploy is called.
            call: On whose behalf.

        Raises:
            NotFound: There is no such site.
            InvalidRequest: The site cannot be built, for example because its builds are stopped.
        """
        params = {"title": title} if title else None
        path = f"/sites/{part(site)}/builds"
        ask = Ask("builds.create", "POST", path, site, site, params=params)
        return await self.fetch(Build, ask, call)

    async def get_build(self, build: str, *, call: Call) -> Build:
        """Return a build.

        Raises:
            NotFound: There is none of this id.
        """
        ask = Ask("builds.get", "GET", f"/builds/{part(build)}", build)
        return await self.fetch(Build, ask, call)

    async def get_deploy(self, deploy: str, *, call: Call) -> Deploy:
        """Return a deploy.

        Raises:
            NotFound: There is none of this id.
        """
        ask = Ask("deploys.get", "GET", f"/deploys/{part(deploy)}", deploy)
        return await self.fetch(Deploy, ask, call)

    async def list_deploys(self, site: str, *, most: int = PAGE, call: Call) -> list[Deploy]:
        """Return the site's latest deploys, newest first.

        Args:
            site: The site's id.
            most: How many.
            call: On whose behalf.
        """
        path, params = f"/sites/{part(site)}/deploys", {"page": "1", "per_page": str(most)}
        ask = Ask("deploys.list", "GET", path, site, site, params=params)
        answer = await self.ask(ask, call)
        return self.decode(ask, answer, lambda: DeployList.model_validate_json(answer.content)).root
