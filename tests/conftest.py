"""What tests share: folders, the embedded models, photos and voices."""

import signal
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from httpx._transports import default as transports
from hypothesis import HealthCheck, settings
from PIL import Image

from tests.support.warm import Warm
from vidgen.errors import SetupError
from vidgen.models import catalog, pull
from vidgen.paths import Home

# Tests that are run by nohup or a script's `&` inherit ignored signals, which the programs they
# start would rightly go on ignoring.
for name in ("SIGINT", "SIGHUP", "SIGQUIT"):
    number = getattr(signal, name, None)
    if number is not None and signal.getsignal(number) == signal.SIG_IGN:
        is_ctrl_c = number == signal.SIGINT
        signal.signal(number, signal.default_int_handler if is_ctrl_c else signal.SIG_DFL)

# A machine that is busy makes no test wrong.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# `httpx.get` reads the machine's certificates anew each time: 35 ms of work, many times what an
# answer from this machine takes.
vars(transports)["create_ssl_context"] = cache(vars(transports)["create_ssl_context"])

REPOSITORY = Path(__file__).parent.parent
PILLOWS_OPEN = Image.open  # importing ultralytics, as some tests do, puts its own in its place


@pytest.fixture(autouse=True)
def _own_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads or writes the user's tasks, settings or keys."""
    monkeypatch.setenv("VIDGEN_CONFIG", str(tmp_path / "no-config.toml"))
    monkeypatch.setenv("VIDGEN_HOME", str(tmp_path / "home"))
    for name in ("VIDGEN_PROGRESS", "DID_API_KEY", "DID_BASE_URL", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setattr(Image, "open", PILLOWS_OPEN)


@pytest.fixture(scope="module")
def one_torch_thread() -> Iterator[None]:
    """Threads that wait for one another cost more than they win on networks and frames so small."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home of vidgen's."""
    home = Home(tmp_path / "home")
    home.tasks.mkdir(parents=True)
    home.models.mkdir(parents=True)
    return home


@pytest.fixture(scope="session")
def shelf() -> catalog.Catalog:
    """The models on this machine: those of the user, so that they are fetched once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("VIDGEN_HOME", raising=False)
        return catalog.Catalog(Home.default())


@pytest.fixture(scope="session")
def model_path(shelf: catalog.Catalog) -> Callable[[str], Path]:
    """name → the file of an embedded model; fetches it once, skips when it cannot be had."""

    def path(name: str) -> Path:
        try:
            pull.ensure(shelf, [catalog.models()[name]])
        except SetupError as error:
            pytest.skip(f"the model {name} cannot be had here: {error.message}")
        return shelf.path(name)

    return path


@pytest.fixture(scope="session")
def give_models(model_path: Callable[[str], Path]) -> Callable[[Home], Home]:
    """Puts links to the embedded and the demo's models into a home; answers it."""

    def give(home: Home) -> Home:
        for model in [*catalog.find_models("embedded"), *catalog.find_models("demo")]:
            file = model_path(model.name)
            folder = home.models / model.name
            folder.mkdir(parents=True)
            (folder / file.name).symlink_to(file)
        return home

    return give


@pytest.fixture
def home_with_models(home: Home, give_models: Callable[[Home], Home]) -> Home:
    """A home without tasks whose models are there already."""
    return give_models(home)


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """Commands without the start of a Python."""
    with Warm(tmp_path_factory.mktemp("warm")) as driver:
        yield driver


@pytest.fixture(scope="session")
def demo_photo(model_path: Callable[[str], Path]) -> Path:
    """Eileen Collins, astronaut; 512 × 512, an open smile."""
    return model_path("demo_photo")


def _asset(name: str) -> Path:
    """A photo that the ultralytics package ships; it stays there (its licence is the package's)."""
    spec = find_spec("ultralytics")
    if spec is None or spec.origin is None:
        pytest.skip(f"{name} is in the package ultralytics, which is not installed")
    return Path(spec.origin).parent / "assets" / name


@pytest.fixture(scope="session")
def zidane() -> Path:
    """Two men, 1280 × 720; the left one shouts in profile."""
    return _asset("zidane.jpg")


@pytest.fixture(scope="session")
def bus() -> Path:
    """People in a street, 810 × 1080."""
    return _asset("bus.jpg")


@pytest.fixture(scope="session")
def human_voice() -> Path:
    """11 s of a man speaking in 1961; lies beside the repository where it is kept at all."""
    file = REPOSITORY.parent / "shared" / "data" / "jfk.flac"
    if not file.is_file():
        pytest.skip("the human test voice is not beside this repository")
    return file
