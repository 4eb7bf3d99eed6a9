"""Options of plug-ins, beside those of this package."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from vae_lab.config.plugins import plugins


class OptionsOfPlugins(SearchPathPlugin):
    """Lets Hydra find the options of plug-ins in their `conf/`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for plugin in plugins():
            if plugin.conf.is_dir():
                search_path.append(f"vae-lab plug-in {plugin.name}", f"file://{plugin.conf}")
