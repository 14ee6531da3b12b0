"""The manager, with real packages on the path: what is found, refused, chosen and made."""

from __future__ import annotations

import sys

import pytest
from plugin_site import EVERY_KIND, NOD, Site, use

from asyncmail.errors import ConfigurationError, PluginError
from asyncmail.plugins.manager import Kind, PluginInfo, PluginManager, Status
from asyncmail.plugins.secrets import SecretRegistry
from asyncmail.testing.clock import ManualClock


def info(manager: PluginManager, name: str) -> PluginInfo:
    return next(plugin for plugin in manager.listing() if plugin.name == name)


# --- finding -------------------------------------------------------------------------------------


def test_a_plugin_from_a_package_is_listed_with_all_that_it_offers(site: Site) -> None:
    site.install("nodding", NOD)
    assert info(site.manager(), "nodding") == PluginInfo(
        "nodding", "nodding", "1.2", Status.LOADED, {"validator": ("nod",)}
    )


def test_every_kind_comes_through_the_same_door(site: Site) -> None:
    site.install("every-kind", EVERY_KIND)
    offered = {str(kind): (f"a-{kind}",) for kind in Kind}
    manager = site.manager()
    assert info(manager, "every-kind").kinds == offered
    chosen = {kind: (f"a-{kind}",) for kind in Kind}
    extensions = manager.build(chosen, {}, ManualClock())
    assert sorted(str(loaded.kind) for loaded in extensions) == sorted(offered)
    assert [loaded.name for loaded in extensions.filters] == ["a-filter"]
    assert [loaded.name for loaded in extensions.observers] == ["a-observer"]


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import not_installed_anywhere", "ModuleNotFoundError"),
        ("raise SystemExit(9)", "SystemExit: 9"),
        ("def broken(:", "SyntaxError"),
        (NOD + "@hookimpl\ndef asyncmail_sinks():\n    raise OSError('no')", "OSError: no"),
        ("@hookimpl\ndef asyncmail_snks(): return []", "unknown hook 'asyncmail_snks'"),
        ("@hookimpl\ndef asyncmail_sinks(app): return []", "app"),
        ("@hookimpl\nasync def asyncmail_sinks(): return []", "hooks are plain functions"),
        ("@hookimpl\ndef asyncmail_sinks(): return 7", "TypeError"),
        ("@hookimpl\ndef asyncmail_sinks(): return [Ear]", "in place of an Offer"),
        ("@hookimpl\ndef asyncmail_sinks(): return [Offer('a b', Ear)]", "'a b'"),
        ("@hookimpl\ndef asyncmail_sinks(): return [Offer('a', 7)]", "not callable"),
        ("@hookimpl\ndef asyncmail_sinks(): return [Offer('a', Ear, dict)]", "pydantic model"),
        ("@hookimpl\ndef asyncmail_sinks(): return 2 * [Offer('a', Ear)]", "two sinks"),
    ],
)
def test_a_broken_plugin_is_listed_with_its_cause_and_the_rest_goes_on(
    site: Site, source: str, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    site.install("nodding", NOD)
    site.install("wrecked", source, version="0.3")
    site.install("zebra", NOD.replace('"nod"', '"stripes"'))
    manager = site.manager()
    wrecked = info(manager, "wrecked")
    assert (wrecked.status, wrecked.package, wrecked.version) == (Status.FAILED, "wrecked", "0.3")
    assert wrecked.error is not None
    assert cause in wrecked.error
    assert wrecked.kinds == {}
    assert wrecked.traceback is not None
    assert wrecked.traceback in caplog.text
    use(manager, Kind.VALIDATOR, "nod", "stripes")


def test_offers_are_taken_all_or_none(site: Site) -> None:
    site.install("half", NOD + "@hookimpl\ndef asyncmail_sinks():\n    raise OSError('no')")
    with pytest.raises(PluginError, match=r"no validator 'nod'"):
        use(site.manager(), Kind.VALIDATOR, "nod")


def test_metadata_that_cannot_be_read_stops_nobody(site: Site) -> None:
    site.install("nodding", NOD)
    site.install("garbled", "", points="not a pair at all")
    (site.folder / "empty-1.0.dist-info").mkdir()
    manager = site.manager()
    assert info(manager, "garbled").status is Status.FAILED
    assert info(manager, "nodding").status is Status.LOADED


@pytest.mark.parametrize("named", ["wrecked", "Wrecked_Package", "wrecked-package"])
def test_a_disabled_plugin_is_never_imported(site: Site, named: str) -> None:
    site.install("Wrecked_Package", "raise OSError", entry="wrecked")
    manager = site.manager(named)
    assert info(manager, "wrecked").status is Status.DISABLED
    assert "Wrecked_Package" not in sys.modules
    with pytest.raises(PluginError, match=r"plugin 'wrecked' \(Wrecked_Package 1.2\) is disabled"):
        use(manager, Kind.SINK, "wrecked")


def test_disabling_what_is_not_there_is_said(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.manager("nobody")
    assert "disabled names 'nobody'" in caplog.text


def test_a_duplicate_name_is_refused_with_both_packages_named(site: Site) -> None:
    site.install("nodding", NOD)
    site.install("also-nodding", NOD, version="2.0")
    site.install("bystander", NOD.replace('"nod"', '"other"'))
    manager = site.manager()
    assert "(also-nodding 2.0)" in str(info(manager, "nodding").error)
    assert "(nodding 1.2)" in str(info(manager, "also-nodding").error)
    with pytest.raises(PluginError, match=r"nodding 1.2.*also-nodding 2.0|also-nod.*nodding 1.2"):
        use(manager, Kind.VALIDATOR, "nod")
    use(manager, Kind.VALIDATOR, "other")


def test_a_built_in_name_cannot_be_taken(site: Site) -> None:
    site.install("usurper", NOD.replace('"nod"', '"addresses"'))
    manager = site.manager()
    assert info(manager, "usurper").status is Status.FAILED
    assert info(manager, "checks").status is Status.LOADED


def test_two_managers_know_nothing_of_each_other(site: Site) -> None:
    site.install("nodding", NOD)
    first, second = site.manager(), site.manager("nodding")
    assert info(first, "nodding").status is Status.LOADED
    assert info(second, "nodding").status is Status.DISABLED


# --- choosing ------------------------------------------------------------------------------------


SEVERAL = """
@hookimpl
def asyncmail_sinks():
    return [Offer(n, lambda s, c, n=n: Ear(n)) for n in ("alpha", "beta", "gamma")]
"""


def test_the_order_is_that_of_the_configuration(site: Site) -> None:
    site.install("several", SEVERAL)
    chosen = {Kind.SINK: ("gamma", "alpha")}
    extensions = site.manager().build(chosen, {}, ManualClock())
    assert [loaded.name for loaded in extensions.sinks] == ["gamma", "alpha"]
    assert str(extensions.sinks[0]) == "sink 'gamma' (several 1.2)"


def test_a_name_given_twice_is_refused(site: Site) -> None:
    site.install("several", SEVERAL)
    with pytest.raises(ConfigurationError, match="sinks names 'beta' twice"):
        use(site.manager(), Kind.SINK, "beta", "beta")


def test_a_missing_extension_is_refused_with_what_there_is(site: Site) -> None:
    site.install("several", SEVERAL)
    with pytest.raises(PluginError) as caught:
        use(site.manager(), Kind.SINK, "gama")
    assert "sinks: there is no sink 'gama' (did you mean 'gamma'? available: " in str(caught.value)
    with pytest.raises(PluginError, match="it is a sink, not a transport"):
        use(site.manager(), Kind.TRANSPORT, "alpha")


def test_a_broken_plugin_that_is_configured_is_named_with_package_version_and_cause(
    site: Site,
) -> None:
    site.install("asyncmail-pigeon", "import not_installed_anywhere", version="0.9")
    with pytest.raises(PluginError) as caught:
        use(site.manager(), Kind.SINK, "pigeon")
    expected = "plugin 'asyncmail-pigeon' (asyncmail-pigeon 0.9) failed to load: ModuleNotFound"
    assert expected in str(caught.value)


# --- settings ------------------------------------------------------------------------------------


STRICT = """
class Settings(PluginSettings):
    limit: int = 3
    password: SecretStr | None = None
    accounts: dict[str, SecretStr] = {}
    keys: list[SecretBytes] = []

def make(settings, context):
    context.logger.warning("limit %r", settings.limit)
    if settings.limit == 13:
        raise ValueError(f"unlucky {settings.password.get_secret_value()}")
    return Nod() if settings.limit < 100 else object()

@hookimpl
def asyncmail_validators():
    return [Offer("strict", make, Settings)]
"""


def test_settings_reach_the_plugin_through_its_model(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.install("strict-one", STRICT)
    use(site.manager(), Kind.VALIDATOR, "strict", strict={"limit": "5"})
    assert caplog.messages == ["limit 5"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"limit": "hunter2!"}, "limit: Input should be a valid integer"),
        ({"limt": 5}, "limt: unknown key, did you mean 'limit'?"),
        ({"accounts": {"a": 5}}, "accounts.a: Input should be a valid string"),
    ],
)
def test_wrong_settings_are_refused_naming_plugin_package_version_and_key_but_no_value(
    site: Site, settings: dict[str, object], words: str
) -> None:
    site.install("strict-one", STRICT)
    with pytest.raises(ConfigurationError) as caught:
        use(site.manager(), Kind.VALIDATOR, "strict", strict=settings)
    text = str(caught.value)
    assert "[plugins.strict]" in text
    assert "plugin 'strict-one' (strict-one 1.2)" in text
    assert words in text
    assert "hunter2" not in text


def test_settings_for_nobody_are_refused(site: Site) -> None:
    manager = site.manager()
    everything_loaded = all(plugin.status is Status.LOADED for plugin in manager.listing())
    assert everything_loaded, manager.listing()
    with pytest.raises(ConfigurationError, match=r"\[plugins.addreses\].*did you mean 'addresses'"):
        use(manager, Kind.VALIDATOR, addreses={})


def test_settings_of_a_plugin_that_failed_to_load_stop_nobody(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.install("wrecked", "raise OSError")
    use(site.manager(), Kind.VALIDATOR, pigeon={"url": "x"})
    assert "[plugins.pigeon]" in caplog.text


def test_secrets_in_settings_are_known_and_masked_at_once(site: Site) -> None:
    site.install("strict-one", STRICT)
    secrets = SecretRegistry()
    manager = site.manager(secrets=secrets)
    settings: dict[str, object] = {
        "limit": 13,
        "password": "hunter2!",
        "accounts": {"a": "correct horse"},
        "keys": [b"battery"],
    }
    with pytest.raises(
        PluginError, match=r"strict-one 1.2\) cannot be made: ValueError: unlucky \*"
    ):
        use(manager, Kind.VALIDATOR, "strict", strict=settings)
    assert secrets.mask("hunter2! correct horse battery") == "*** *** ***"


def test_what_is_made_must_be_of_its_kind(site: Site) -> None:
    site.install("strict-one", STRICT)
    with pytest.raises(PluginError, match=r"strict-one 1.2\) cannot be made: it is a object"):
        use(site.manager(), Kind.VALIDATOR, "strict", strict={"limit": 100})
