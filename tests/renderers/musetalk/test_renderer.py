"""MuseTalk with tiny networks of the same classes: loading, arithmetic, batches, memory, frames."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.renderers.musetalk.test_face import landmarks
from tests.support.disk import files_no_larger_than
from tests.support.extra import need
from vidgen.errors import DeviceError, InputError, SetupError
from vidgen.events import Event, Log
from vidgen.renderers.musetalk import networks
from vidgen.renderers.musetalk.hearing import Hearing
from vidgen.renderers.musetalk.networks import NetworkFiles, Networks
from vidgen.renderers.musetalk.painter import Canvas, CompileIfItPays, Painter, pays
from vidgen.renderers.musetalk.renderer import MuseTalkRenderer
from vidgen.renderers.musetalk.weights import is_copy_of, keep_copy
from vidgen.work import Cutout, Floats, MotionOptions, Pixels, Speech, Subject

torch = pytest.importorskip("torch")
need("diffusers", "transformers")

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("one_torch_thread")]
FPS = Fraction(25)


@pytest.fixture(scope="module")
def nets(files: NetworkFiles) -> Networks:
    loaded = Networks(files, "cpu")
    loaded.load()
    return loaded


@pytest.fixture
def own_files(files: NetworkFiles, tmp_path: Path) -> NetworkFiles:
    """A copy that a test may spoil."""
    copied: dict[str, Any] = {}
    for name in ("unet", "unet_config", "vae", "whisper"):
        source: Path = getattr(files, name)
        copied[name] = tmp_path / source.name
        copied[name].write_bytes(source.read_bytes())
    return replace(files, **copied)


@pytest.fixture
def subject() -> Subject:
    rng = np.random.default_rng(4)
    frame = rng.integers(0, 255, (400, 300, 3), np.uint8)
    return Subject(frame, landmarks(), (60, 60, 240, 300), (0, 0, 300, 400))


@pytest.fixture
def cutout(subject: Subject) -> Cutout:
    matte = np.ones((400, 300), np.float32)
    return Cutout(subject.frame, matte, subject.frame, keeps_photo=True)


def voice(seconds: float) -> Speech:
    rng = np.random.default_rng(6)
    return Speech(0.1 * rng.standard_normal(round(seconds * 16_000)).astype(np.float32), 16_000, "")


# --- loading --------------------------------------------------------------------------------------


def test_the_pickle_is_kept_once_more_at_half_the_size(own_files: NetworkFiles) -> None:
    first = networks.unet(own_files)
    copy = own_files.unet.with_name("unet.fp16.safetensors")
    assert copy.stat().st_size < 0.7 * own_files.unet.stat().st_size
    own_files.unet.write_bytes(own_files.unet.read_bytes())  # the same, but newer
    assert not is_copy_of(copy, own_files.unet)
    networks.unet(own_files)
    assert is_copy_of(copy, own_files.unet)
    again = networks.unet(own_files)
    for name, weight in first.state_dict().items():
        assert weight.dtype == torch.float16
        assert torch.equal(weight, again.state_dict()[name])


def test_the_copy_serves_alone(own_files: NetworkFiles) -> None:
    networks.unet(own_files)
    copy = own_files.unet.with_name("unet.fp16.safetensors")
    own_files.unet.unlink()
    assert networks.unet(replace(own_files, unet=copy)).config.in_channels == 8


def test_the_copy_has_the_rights_of_its_source(own_files: NetworkFiles) -> None:
    own_files.unet.chmod(0o640)
    networks.unet(own_files)
    assert own_files.unet.with_name("unet.fp16.safetensors").stat().st_mode & 0o777 == 0o640


def test_a_full_disk_costs_only_time(own_files: NetworkFiles) -> None:
    with files_no_larger_than(1000):
        assert networks.unet(own_files).config.out_channels == 4
    assert sorted(file.name for file in own_files.unet.parent.iterdir() if "unet" in file.name) == [
        "unet.pth"
    ]


@pytest.mark.parametrize("folder", ["/proc", "/nowhere"])
def test_a_folder_that_cannot_be_written_costs_only_time(
    own_files: NetworkFiles, folder: str
) -> None:
    state = torch.load(own_files.unet, weights_only=True)
    keep_copy(state, Path(folder) / "unet.fp16.safetensors", own_files.unet)
    assert not Path(folder, "unet.fp16.safetensors").exists()


class Malicious:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.proof}",)


def test_a_planted_pickle_is_refused(own_files: NetworkFiles, tmp_path: Path) -> None:
    proof = tmp_path / "it-ran"
    torch.save({"conv_in.weight": Malicious(proof)}, own_files.unet)
    with pytest.raises(SetupError) as told:
        networks.unet(own_files)
    assert told.value.code == "models.not_loadable"
    assert told.value.details["reason"].endswith("nothing in it was run")
    assert not proof.exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: torch.save([torch.zeros(1)], file),
        lambda file: torch.save({"step": 3}, file),
        lambda file: file.write_bytes(b"no weights"),
        lambda file: file.unlink(),
    ],
)
def test_what_is_no_table_of_weights_is_told(own_files: NetworkFiles, spoil: Any) -> None:
    spoil(own_files.unet)
    with pytest.raises(SetupError) as told:
        networks.unet(own_files)
    assert told.value.code == "models.not_loadable"


def without_one(state: dict[str, Any]) -> None:
    state.pop("conv_in.weight")


def with_one_more(state: dict[str, Any]) -> None:
    state["extra.weight"] = torch.zeros(1)


def with_another_shape(state: dict[str, Any]) -> None:
    state["conv_in.weight"] = torch.zeros(8, 4, 3, 3)


@pytest.mark.parametrize("spoil", [without_one, with_one_more, with_another_shape])
def test_weights_of_another_network_are_refused(own_files: NetworkFiles, spoil: Any) -> None:
    state = torch.load(own_files.unet, weights_only=True)
    spoil(state)
    torch.save(state, own_files.unet)
    with pytest.raises(SetupError) as told:
        networks.unet(own_files)
    assert told.value.code == "models.other_network"


def test_wrong_parameters_are_refused(files: NetworkFiles) -> None:
    with pytest.raises(SetupError) as told:
        networks.vae(replace(files, vae_params=dict(files.vae_params) | {"latent_channels": 8}))
    assert told.value.code == "models.other_network"
    with pytest.raises(SetupError) as told:
        networks.whisper(
            replace(files, whisper_params=dict(files.whisper_params) | {"encoder_layers": 2})
        )
    assert told.value.code == "models.other_network"


@pytest.mark.parametrize("content", ["", "[1]", "no json"])
def test_a_broken_description_is_told(own_files: NetworkFiles, content: str) -> None:
    own_files.unet_config.write_text(content, "utf-8")
    with pytest.raises(SetupError) as told:
        networks.unet(own_files)
    assert told.value.code == "models.not_loadable"


def test_release_lets_go_and_load_brings_back(files: NetworkFiles) -> None:
    own = Networks(files, "cpu")
    own.load()
    first = own.hear(voice(0.5).samples)
    own.release()
    assert own._unet is None
    own.load()
    np.testing.assert_array_equal(own.hear(voice(0.5).samples), first)


# --- arithmetic -----------------------------------------------------------------------------------


def test_five_hidden_states_at_fifty_a_second(nets: Networks) -> None:
    heard = nets.hear(voice(1.0).samples)
    assert heard.shape == (1500, 5, 16)
    # The first is what goes into the layers: embedded sound and places; the last is normalised.
    places = nets._whisper.embed_positions.weight.numpy()
    assert not np.allclose(heard[:, 0], heard[:, 1])
    assert np.abs(heard[:, 0] - places).max() < np.abs(heard[:, 0]).max()
    np.testing.assert_allclose(heard[:, 4].mean(-1), 0, atol=1e-5)


def test_the_latents_are_scaled_and_the_blanked_ones_first(nets: Networks) -> None:
    square = np.random.default_rng(1).integers(0, 255, (256, 256, 3), np.uint8)
    black = square.copy()
    black[128:] = 0
    latents = nets.latents(square, black)
    assert latents.shape == (1, 8, 32, 32)
    for first, picture in ((0, black), (4, square)):
        tensor = torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32)) / 127.5 - 1
        with torch.inference_mode():
            expected = nets._vae.encode(tensor).latent_dist.mean * 0.18215
        torch.testing.assert_close(latents[:, first : first + 4], expected, atol=1e-3, rtol=0)


def rounded(files: NetworkFiles, told: list[Event]) -> Networks:
    """Weights of half precision, one of which makes numbers that are beyond it."""
    own = Networks(files, "cpu", told.append)
    own.load()
    for network in (own._whisper, own._vae, own._unet):
        network.half()
    with torch.no_grad():
        own._vae.post_quant_conv.weight.fill_(6e4)
    own.precision = "float16"
    return own


def test_numbers_beyond_half_precision_are_computed_again(files: NetworkFiles) -> None:
    told: list[Event] = []
    latents, tokens = torch.rand(1, 8, 32, 32).half(), np.zeros((2, 50, 16), np.float32)
    wide, own = rounded(files, told), rounded(files, told)
    wide._widen()
    told.clear()
    expected = wide.draw(latents, tokens)
    np.testing.assert_array_equal(own.draw(latents, tokens), expected)
    np.testing.assert_array_equal(own.draw(latents, tokens), expected)
    assert told == [Log("INFO", "render.precise", {"model": "musetalk"})]
    assert own.precision == "float32"
    photo = rounded(files, [])
    with torch.no_grad():
        photo._vae.quant_conv.weight.fill_(6e4)
    square = np.full((256, 256, 3), 200, np.uint8)
    assert torch.isfinite(photo.latents(square, square)).all()
    assert np.isfinite(own.hear(voice(0.3).samples)).all()


def test_a_face_is_one_pass_at_timestep_zero(nets: Networks) -> None:
    latents = torch.randn(1, 8, 32, 32)
    tokens = np.random.default_rng(2).standard_normal((2, 50, 16)).astype(np.float32)
    drawn = nets.draw(latents, tokens)
    with torch.inference_mode():
        made = nets._unet(
            latents.repeat(2, 1, 1, 1), torch.tensor([0]), torch.from_numpy(tokens)
        ).sample
        faces = nets._vae.decode(made / 0.18215).sample / 2 + 0.5
    expected = (faces.clamp(0, 1) * 255).round().byte()
    assert drawn.shape == (2, 3, 256, 256)
    assert torch.equal(drawn, expected)


def test_any_batch_of_faces_is_the_same_calls(nets: Networks) -> None:
    """So they can be recorded as a CUDA graph."""
    from tests.support.torch_calls import torch_calls

    latents = torch.randn(1, 8, 32, 32)
    with torch.inference_mode():
        one, other = (
            torch_calls(partial(nets.decode_heard, latents, torch.randn(2, 50, 16)))
            for _ in range(2)
        )
    assert one == other
    assert len(one) > 100


@pytest.mark.skipif(
    torch.cuda.is_available() or not torch.version.cuda, reason="no driver must be missing"
)
def test_what_cannot_be_recorded_is_computed_call_by_call(files: NetworkFiles) -> None:
    own = Networks(files, "cpu")
    own.load()
    draw, heard = partial(own.decode_heard, torch.rand(1, 8, 32, 32)), torch.randn(2, 50, 16)
    with torch.inference_mode():
        for _ in range(2):
            assert torch.equal(own._play(draw, heard), draw(heard))
    assert own._graphs == {2: None}  # it is not tried again


def test_channels_may_come_last_in_memory(files: NetworkFiles, nets: Networks) -> None:
    own = Networks(files, "cpu")
    own.load()
    own._unet = own._to_device(own._unet, channels_last=True)
    assert own._unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    latents, tokens = torch.rand(1, 8, 32, 32), np.ones((2, 50, 16), np.float32)
    np.testing.assert_allclose(own.draw(latents, tokens), nets.draw(latents, tokens), atol=1)


def test_kernels_that_were_compiled_once_are_known(
    own_files: NetworkFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # so that it is as before afterwards
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.setattr(torch, "compile", lambda network: network)
    own = Networks(own_files, "cpu")
    own.load()
    own.compile()
    assert not own.has_kernels()  # not before they have drawn
    own.draw(torch.rand(1, 8, 32, 32), np.zeros((1, 50, 16), np.float32))
    assert Networks(own_files, "cpu").has_kernels()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(own_files.unet.parent / "kernels")


class Small(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Stands in for the UNet and for the VAE's decoder."""

    def forward(self, values: Any, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(sample=values[:, :3] * 0.5)


def test_without_a_compiler_the_networks_run_as_they_are(
    files: NetworkFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch._dynamo.config, "suppress_errors", False)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "none")
    own = Networks(files, "cpu")
    own.load()
    small = Small()  # torch takes a minute to read the real classes
    own._vae = SimpleNamespace(decode=small, config=own._vae.config)
    own._unet = own._decode = small
    latents, tokens = torch.rand(1, 8, 32, 32), np.zeros((2, 50, 16), np.float32)
    expected = own.draw(latents, tokens)

    def broken(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=broken))
    own.compile()
    assert own._decode is not own._vae.decode
    np.testing.assert_allclose(own.draw(latents, tokens), expected, atol=1)


# --- batches and memory ---------------------------------------------------------------------------


class Numbered:
    """Draws a face of the grey that its first token says; has memory for `room` at a time."""

    device = "cpu"

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.sizes: list[int] = []

    def draw(self, latents: Any, tokens: Floats) -> Any:
        if len(tokens) > self.room:
            raise RuntimeError("CUDA out of memory")
        self.sizes.append(len(tokens))
        grey = torch.from_numpy(tokens[:, 0, 0]).byte()
        return grey[:, None, None, None].expand(-1, 3, 256, 256)


class Steps:
    """Stands in for the hearing: a frame's tokens are its number."""

    def tokens(self, frames: range, fps: Fraction) -> Floats:
        return np.array(frames, np.float32)[:, None, None]


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def painting(told: list[Event]) -> Iterator[Any]:
    canvas = Canvas((10, 20, 16, 24), np.full((4, 6), 0.5, np.float32), None)
    with ThreadPoolExecutor(1) as worker:

        def make(drawer: Numbered, count: int, batch: int) -> Painter:
            hearing: Any = Steps()
            return Painter(drawer, hearing, canvas, FPS, count, batch, told.append, worker)

        yield make


def greys(painter: Painter, first: int, last: int) -> list[int]:
    return [int(face[0, 0, 0]) for part in painter.patches(first, last) for face in part]


@pytest.mark.parametrize("batch", [1, 3, 8, 50])
def test_every_frame_comes_once_and_in_order(painting: Any, batch: int) -> None:
    assert greys(painting(Numbered(), 20, batch), 0, 20) == list(range(20))


@pytest.mark.parametrize(("first", "last"), [(0, 5), (5, 12), (7, 8), (19, 20), (4, 4)])
def test_any_stretch_can_be_asked_for(painting: Any, first: int, last: int) -> None:
    assert greys(painting(Numbered(), 20, 8), first, last) == list(range(first, last))


def test_a_batch_shared_by_two_pieces_is_drawn_once(painting: Any) -> None:
    drawer = Numbered()
    painter = painting(drawer, 20, 8)
    assert greys(painter, 0, 10) + greys(painter, 10, 20) == list(range(20))
    assert drawer.sizes == [8, 8, 8]  # whole batches only, even at the end


def test_too_little_memory_halves_the_batch_and_says_so(painting: Any, told: list[Event]) -> None:
    drawer = Numbered(room=3)
    assert greys(painting(drawer, 20, 8), 0, 20) == list(range(20))
    assert set(drawer.sizes) == {2}
    assert told == [
        Log("WARNING", "render.smaller_batch", {"batch": 4}),
        Log("WARNING", "render.smaller_batch", {"batch": 2}),
    ]


def test_no_memory_for_one_frame_is_a_device_error(painting: Any) -> None:
    with pytest.raises(DeviceError):
        greys(painting(Numbered(room=0), 20, 8), 0, 20)


def test_another_error_goes_through(painting: Any) -> None:
    class Broken(Numbered):
        def draw(self, latents: Any, tokens: Floats) -> Any:
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        greys(painting(Broken(), 20, 8), 0, 20)


def test_patches_have_the_boxs_size_and_the_mask_as_alpha(painting: Any) -> None:
    (patches,) = painting(Numbered(), 3, 8).patches(0, 3)
    assert patches.shape == (3, 4, 6, 4)
    assert (patches[..., 3] == 128).all()


@pytest.mark.parametrize(
    ("seconds_per_frame", "frames", "worth"),
    [(0.005, 15_000, False), (0.033, 15_000, True), (0.033, 1_000, False)],
)
def test_compiling_must_pay(seconds_per_frame: float, frames: int, worth: bool) -> None:
    assert pays(seconds_per_frame, frames) is worth


@pytest.mark.parametrize("first", [0, 11])
def test_what_was_drawn_to_measure_begins_the_film(painting: Any, first: int) -> None:
    """From where it is begun: one that is taken up again draws nothing of what is there."""
    drawer, compiled = Numbered(), list[bool]()
    painter = painting(drawer, 40, 8)
    painter.warm_up = CompileIfItPays(lambda: compiled.append(True))
    assert greys(painter, first, 18) + greys(painter, 18, 24) == list(range(first, 24))
    assert drawer.sizes == [8] * (3 - first // 8)
    assert compiled == []


def test_compiling_is_decided_by_measuring(painting: Any) -> None:
    drawer, compiled = Numbered(), list[int]()
    painter = painting(drawer, 20, 8)
    painter.warm_up = CompileIfItPays(lambda: compiled.append(len(drawer.sizes)), 0.0)
    assert greys(painter, 0, 10) + greys(painter, 10, 20) == list(range(20))
    assert compiled == [2]
    assert drawer.sizes == [8] * 5  # all frames by the compiled networks


def test_a_device_goes_on_with_the_next_piece(painting: Any) -> None:
    drawer = Numbered()
    drawer.device = "cuda:0"
    painter = painting(drawer, 20, 8)
    assert greys(painter, 0, 8) == list(range(8))
    painter.worker.submit(lambda: None).result()  # it has come to the end of what was asked
    assert drawer.sizes == [8, 8]
    assert greys(painter, 8, 16)[0] == 8


# --- whole ----------------------------------------------------------------------------------------


def film(
    renderer: MuseTalkRenderer, subject: Subject, cutout: Cutout, first: int, last: int
) -> Pixels:
    with renderer.perform(subject, cutout, voice(0.6), MotionOptions()) as performance:
        return np.concatenate([part.pixels for part in performance.frames(first, last)])


def test_a_performance_covers_the_voice_and_changes_only_the_lower_face(
    files: NetworkFiles, subject: Subject, cutout: Cutout
) -> None:
    renderer = MuseTalkRenderer(files)
    with renderer.perform(subject, cutout, voice(0.6), MotionOptions()) as performance:
        assert performance.frame_count == 15
        assert performance.metadata["precision"] == "float32"
        parts = list(performance.frames(0, 15))
    assert {part.layout for part in parts} == {"rgb24"}
    frames = np.concatenate([part.pixels for part in parts])
    assert frames.shape == (15, 400, 300, 3)
    changed = (frames != subject.frame).any(axis=(0, 3))
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert 185 <= rows[0] < rows[-1] < 310
    assert 60 <= columns[0] < columns[-1] < 240
    assert changed[240, 150]


def test_a_frame_is_the_same_wherever_drawing_began(
    files: NetworkFiles, subject: Subject, cutout: Cutout
) -> None:
    renderer = MuseTalkRenderer(files)
    whole = film(renderer, subject, cutout, 0, 15)
    np.testing.assert_array_equal(film(renderer, subject, cutout, 6, 11), whole[6:11])


def test_a_transparent_background_gives_alpha(files: NetworkFiles, subject: Subject) -> None:
    matte = np.zeros((400, 300), np.float32)
    matte[:, 50:250] = 1
    frames = film(MuseTalkRenderer(files), subject, Cutout(subject.frame, matte, None), 0, 1)
    assert frames.shape == (1, 400, 300, 4)
    assert (frames[0, ..., 3] == matte * 255).all()


def test_another_background_is_behind(files: NetworkFiles, subject: Subject) -> None:
    matte = np.zeros((400, 300), np.float32)
    matte[:, 50:250] = 1
    behind = np.full((400, 300, 3), 9, np.uint8)
    frames = film(MuseTalkRenderer(files), subject, Cutout(subject.frame, matte, behind), 0, 1)
    assert (frames[0, :, :50] == 9).all()
    np.testing.assert_array_equal(frames[0, :60, 50:250], subject.frame[:60, 50:250])


def test_patches_come_at_twice_the_resolution_when_asked(
    files: NetworkFiles, subject: Subject, cutout: Cutout
) -> None:
    with MuseTalkRenderer(files).paint(
        subject, cutout, voice(0.3), MotionOptions(), scale=2
    ) as painter:
        patches = next(painter.patches(0, 8))
        assert painter.box == (60, 60, 240, 310)
    assert patches.shape[1:] == (500, 360, 4)


def test_a_small_face_is_refused(files: NetworkFiles, subject: Subject, cutout: Cutout) -> None:
    tiny = replace(subject, landmarks=landmarks(100, 120, 100, 110))
    with (
        pytest.raises(InputError),
        MuseTalkRenderer(files).perform(tiny, cutout, voice(0.3), MotionOptions()),
    ):
        pass


def test_thirty_frames_a_second_are_thirty(
    files: NetworkFiles, subject: Subject, cutout: Cutout
) -> None:
    look = MotionOptions(fps=Fraction(30))
    with MuseTalkRenderer(files).perform(subject, cutout, voice(0.61), look) as performance:
        assert performance.frame_count == 19


def test_hearing_reaches_from_the_sound_to_the_tokens(nets: Networks) -> None:
    speech = voice(1.0)
    tokens = Hearing(speech, nets.hear).tokens(range(4), FPS)
    assert tokens.shape == (4, 50, 16)
    assert np.isfinite(tokens).all()
