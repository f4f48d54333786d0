"""The steps of one run, made of the models that its plan names, each with the key of its result.

The only module that names concrete stages and renderers.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from vidgen.cache import Keys
from vidgen.device.capacity import encoder_capacity, worker_capacity
from vidgen.device.prefetch import Network, TorchAhead
from vidgen.events import Emit, Log
from vidgen.models import catalog, select
from vidgen.models.catalog import Catalog
from vidgen.models.select import ModelChoice, drawing_device
from vidgen.paths import Home, TaskFolder
from vidgen.request import Request
from vidgen.settings import ANIMATIONS, Options, preview_shares
from vidgen.steps import Step

if TYPE_CHECKING:  # numpy and more is behind these
    from vidgen.did.auth import Account
    from vidgen.media.mux import VoiceAhead
    from vidgen.quality.closing_look import ClosingLook
    from vidgen.renderers.base import Renderer
    from vidgen.renderers.workers import SpareProcess, Workers
    from vidgen.speech.hearing import Hearing
    from vidgen.work import MotionOptions, Photo, Pixels, Speech, Work

# What a worker imports while the photo is being read: half a second of it.
WORKER_MODULES: Final = ("cv2", "av", "vidgen.stages.render", "vidgen.renderers.puppet.cpu")
FRAMED_HEIGHT: Final = 720  # pixels, the most that a film gets unasked
# And the one that hears the voice, while the inputs are still being opened.
EAR_MODULES: Final = ("av", "parselmouth", "vidgen.speech.hearing")
APART: Final = 2.0  # seconds of voice, from which on hearing it is worth a process of its own


@dataclass(frozen=True, slots=True)
class Job:
    """One run with everything that its stages are made of."""

    home: Home
    task: TaskFolder
    request: Request
    plan: ModelChoice
    emit: Emit
    ears: "SpareProcess | None" = None  # hears the voice meanwhile
    enlarges: bool = True  # where it is asked for; a sketch does not wait for it

    @property
    def options(self) -> Options:
        return self.request.options

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.home)

    @property
    def drawing_device(self) -> str:
        return drawing_device(self.options, self.plan)

    def workers(self, speech: "Speech") -> "Workers":
        """As many processes as have something to draw, a core and the memory; none where the
        drawing cannot be shared out."""
        from vidgen.media.segments import spans
        from vidgen.renderers.workers import Workers

        shares = self.plan.renderer == "puppet" and self.drawing_device == "cpu"
        if not shares or self._hardware_encoders():  # which take a film or two at once, not more
            return Workers()
        fps = Fraction(self.options.fps)
        pieces = len(spans(speech.frame_count(fps * Fraction(1 / self.options.rate)), fps))
        if self.options.workers:
            return Workers(min(self.options.workers, pieces), WORKER_MODULES)
        return Workers(worker_capacity(pieces, self._most_height), WORKER_MODULES)

    def steps(self, photo: "Photo", speech: "Speech", workers: "Workers") -> list[Step]:
        """In their order, each with the key of what it makes and the networks it loads."""
        import cv2  # noqa: F401  # before any thread: its loader fails where two need it at once

        from vidgen.quality.closing_look import ClosingLook
        from vidgen.stages.detect import Detect
        from vidgen.stages.finalize import Finalize
        from vidgen.stages.matte import Matte
        from vidgen.stages.prosody import Prosody
        from vidgen.work import Cutout, Subject

        options = self.options
        keys = Keys.of(options, self.plan, photo.sha256, speech.sha256)
        people, matter = self._people(), self._matter()
        prosody, seed = Prosody(options), seed_of(options, photo.sha256, speech.sha256)
        final = speech if prosody.is_idle else None  # what is known now of the voice in the film
        voice = self._voice_ahead(final)
        closing = ClosingLook(self.catalog.path("face_landmark"))
        judges = options.format not in ANIMATIONS
        finalize = Finalize(
            self.request.output,
            format=options.format,
            task_id=self.task.task_id,
            force=options.force,
            reads=self.request.reads,
            poster=options.poster,
            judge=partial(self._judge, workers, closing) if judges else None,
            subtitles=self._subtitles if options.subtitles != "none" else None,
            voice=voice,
        )
        small = faces, landmarks, irises, *hands = self._faces()
        detect = Detect(faces, landmarks, options, people, irises, self._enlarger(), *hands)
        return [
            Step(detect, keys.subject, (Subject,), (people,) if people else (), small),
            Step(Matte(matter, options), keys.cutout, (Cutout,), (matter,)),
            Step(prosody),
            *self._render_steps(keys.film, workers, seed, final, closing if judges else None),
            Step(finalize, networks=(voice,) if voice else ()),
        ]

    def sketch(self, photo: "Photo", speech: "Speech") -> "Pixels":
        """One frame at the film's size, (H, W, 3), or (H, W, 4) with colours not premultiplied.

        The puppet draws it, saying the loudest moment, cut out by the small networks on the
        processor: in two seconds. Where another renderer will draw, it is the framed photo. Raises
        InputError when the photo shows nobody who can speak.
        """
        from vidgen.renderers.puppet.renderer import PuppetRenderer
        from vidgen.renderers.workers import Workers
        from vidgen.speech.features import loudest_part
        from vidgen.work import Cutout, Notes, Subject, Work

        plan = replace(self.plan, device="cpu", matte="")
        detect, matte = replace(self, plan=plan, enlarges=False).steps(photo, speech, Workers())[:2]
        work = detect.stage.run(Work(photo, speech, Notes()), self.emit)
        subject = work.get(Subject)
        if plan.renderer != "puppet":
            return subject.frame
        cutout = matte.stage.run(work, self.emit).get(Cutout)
        wanted = look(replace(self.options, blink=0.0), seed_of(self.options, photo.sha256))
        said = replace(speech, samples=loudest_part(speech.samples, speech.rate), text="")
        with PuppetRenderer().perform(subject, cutout, said, wanted) as performance:
            middle = performance.frame_count // 2
            drawn: Pixels = next(performance.frames(middle, middle + 1)).pixels[0]
            return drawn

    def _voice_ahead(self, speech: "Speech | None") -> "VoiceAhead | None":
        """The voice encoded beside the drawing, where that is work and makes it small."""
        from vidgen.media.encodings import encoding_for
        from vidgen.media.mux import VoiceAhead

        if speech is None or self.options.format in ANIMATIONS:
            return None
        sound = encoding_for(self.options.format).sound
        return VoiceAhead(speech, sound) if sound.bit_rate else None

    def _subtitles(self, work: "Work", emit: Emit) -> tuple[str, str]:
        """The words as the finished film's voice says them; none where they are not found."""
        from vidgen.speech.features import at_16k, listen
        from vidgen.speech.subtitles import subtitles
        from vidgen.work import Speech

        speech, format = work.get(Speech), cast(Literal["srt", "vtt"], self.options.subtitles)
        hearing = self._hearing()
        if hearing is None:
            emit(Log("WARNING", "finalize.subtitles_unheard"))
            return "", format
        voice, sound = at_16k(speech.samples, speech.rate), listen(speech.samples, speech.rate)
        found = hearing(voice, sound, speech.text, self.options.language)
        if not found.words:
            emit(Log("WARNING", "finalize.subtitles_misfit"))
            return "", format
        return subtitles(found.words, speech.text, format), format

    def _judge(
        self, workers: "Workers", closing: "ClosingLook", video: Path, work: "Work", emit: Emit
    ) -> Mapping[str, Any]:
        """A mouth that does not follow the voice is said."""
        from vidgen.quality.judge import judge
        from vidgen.work import Subject

        try:
            face = work.get(Subject).face
            run = (lambda tasks, hear: workers.run(tasks, None, hear)) if workers.alive else None
            hearing, model = self._hearing(), closing.landmark_model
            hears = hearing.phones if hearing else None
            seen = closing.seen
            found = asdict(judge(video, model, face=face, seen=seen, run=run, hear_phones=hears))
        except Exception as error:  # the film is there: a second look must not cost the run
            reason = f"{type(error).__name__}: {error}"
            emit(Log("WARNING", "quality.not_judged", {"reason": reason}))
            return {}
        if found["follows_voice"] is False:
            emit(Log("WARNING", "quality.not_following", found))
        return {"quality": found}

    def _faces(self) -> Any:
        from vidgen.vision.faces import FaceDetector, LandmarkNet
        from vidgen.vision.hands import HandFinder
        from vidgen.vision.iris import IrisNet

        path = self.catalog.path
        return (
            FaceDetector(path("centerface")),
            LandmarkNet(path("face_landmark")),
            IrisNet(path("iris_landmark")),
            *([HandFinder(*map(path, select.HANDS))] if self.plan.hands else ()),
        )

    def _enlarger(self) -> Any:
        if not (self.options.enlarge and self.enlarges):
            return None
        from vidgen.vision.enlarger import Enlarger

        weights, structure = map(self.catalog.path, select.ENLARGER)
        return Enlarger(weights, structure)

    def _people(self) -> Any:
        """Whole persons by YOLO, or None: grown from the faces."""
        if not self.plan.persons:
            return None
        from vidgen.vision.yolo import YoloPeople

        folder = self.home.models / self.plan.persons
        return YoloPeople(self.catalog.path(self.plan.persons), folder, self.plan.device)

    def _matter(self) -> Any:
        models = self.catalog
        if self.plan.matte in ("", select.ISNET):
            from vidgen.vision.isnet import IsNet
            from vidgen.vision.selfie import Selfie

            coarse = Selfie(*(models.path(name) for name in select.SELFIE))
            return IsNet(models.path(select.ISNET), coarse) if self.plan.matte else coarse
        from vidgen.vision.birefnet import BiRefNet, Variant, variants

        def variant(model: catalog.Model | None) -> Variant | None:
            return Variant(model.name, models.path(model.name), model.params) if model else None

        chosen = catalog.models()[self.plan.matte]
        lighter = select.lighter_matte(models, chosen) if chosen.gpu_only else None
        found = variants(variant(chosen), variant(lighter), self.plan.device)
        return BiRefNet(found, self.plan.device, self.emit)

    def _render_steps(
        self,
        key: str,
        workers: "Workers",
        seed: int,
        speech: "Speech | None",
        closing: "ClosingLook | None" = None,
    ) -> list[Step]:
        """What draws the film: a local renderer, or D-ID's two stages. `speech` if it is known."""
        if self.plan.renderer == "d-id":
            return self._did_steps()
        from vidgen.stages.render import Render

        renderer, networks = self._renderer(speech)
        render = Render(
            renderer,
            look(self.options, seed),
            format=self.options.format,
            hardware=self._hardware_encoders(),
            key=key,
            workers=workers,
            encoders=encoder_capacity(self._most_height) if self.drawing_device != "cpu" else 1,
            closing_look=closing,
            preview_at=preview_shares(self.options.preview_at),
        )
        return [Step(render, networks=networks, is_drawing=True)]

    @property
    def _most_height(self) -> int:
        return self.options.height or FRAMED_HEIGHT

    def _hardware_encoders(self) -> tuple[str, ...]:
        """Only asked for, or where the GPU draws: x264 makes the same bytes everywhere, and each
        worker can have its own."""
        from vidgen.media.encodings import HARDWARE

        if self.options.encoder == "auto":
            return () if self.drawing_device == "cpu" else tuple(HARDWARE)
        return () if self.options.encoder == "x264" else (self.options.encoder,)

    def _did_steps(self) -> list[Step]:
        from vidgen.did.polling import PastTalks
        from vidgen.stages.did import DidProcessing, DidUpload

        payer = did_account(self.options)
        past = PastTalks(self.home.root / "did-times.json")
        stages = (
            DidUpload(payer, self.task.task_id),
            DidProcessing(payer, past=past, format=self.options.format),
        )
        return [Step(stage, is_elsewhere=True) for stage in stages]

    def _hearing(self) -> "Hearing | None":
        """What finds the phones of the voice, when its weights are here."""
        from vidgen.speech.hearing import Hearing

        return Hearing(self.catalog.path(self.plan.ears)) if self.plan.ears else None

    def _renderer(self, speech: "Speech | None") -> tuple["Renderer", tuple[Network, ...]]:
        """What draws the frames, and what it has ready: `speech` is heard while the photo is read,
        unless an earlier run has begun to draw."""
        from vidgen.renderers.puppet.renderer import PuppetRenderer
        from vidgen.speech.hearing import HearAhead

        if self.plan.renderer == "puppet":
            device, hearing = self.drawing_device, self._hearing()
            torch = () if device == "cpu" else (TorchAhead(device),)
            if speech is None or (self.task.work / "render").exists():
                return PuppetRenderer(device, hearing=hearing), torch
            where = (self.ears,) if self.ears and speech.seconds >= APART else ()
            ahead = HearAhead(speech, self.options.language, hearing, *where)
            return PuppetRenderer(device, hearing=hearing, ahead=ahead), (*torch, ahead)
        from vidgen.renderers.musetalk.networks import NetworkFiles
        from vidgen.renderers.musetalk.renderer import MuseTalkRenderer

        rows = catalog.models()
        unet, config, vae, whisper = (self.catalog.path(name) for name in select.MUSETALK)
        shapes = rows["sd_vae"].params, rows["whisper_tiny"].params
        files = NetworkFiles(unet, config, vae, whisper, *shapes)
        talker = MuseTalkRenderer(files, self.plan.device, self.emit)
        return PuppetRenderer(self.plan.device, name="musetalk", face=talker), (talker,)


def open_ears(options: Options, task: TaskFolder) -> "AbstractContextManager[SpareProcess | None]":
    """A process that will hear the voice, where the film has to be drawn by its sounds."""
    from vidgen.renderers.workers import SpareProcess

    if options.renderer not in ("auto", "puppet") or (task.work / "render").exists():
        return nullcontext()
    return SpareProcess(EAR_MODULES)


def seed_of(options: Options, *inputs: str) -> int:
    """The seed asked for, or one of the inputs' own (their hashes): no two films perform alike."""
    if options.seed >= 0:
        return options.seed
    return int.from_bytes(sha256("".join(inputs).encode()).digest()[:4])


def look(options: Options, seed: int) -> "MotionOptions":
    """How the speaker should move."""
    from vidgen.work import MotionOptions

    return MotionOptions(
        fps=Fraction(options.fps),
        seed=seed,
        mouth=options.mouth,
        head_motion=options.head_motion,
        blink=options.blink,
        brows=options.brows,
        gaze=options.gaze,
        mood=options.mood,
        expression=options.expression,
        language=options.language,
    )


def check_options(options: Options) -> None:
    """Refuse what only the stages understand, before anything is made. Raises InputError, and
    SetupError without an extra that is asked for."""
    from vidgen.speech.languages import praat_language
    from vidgen.stages.prosody import Prosody
    from vidgen.vision.enlarger import check_extra

    praat_language(options.language)
    Prosody(options)
    if options.enlarge:
        check_extra()


def check_did(options: Options, seconds: float) -> None:
    """Refuse what D-ID cannot draw, before anything is made, when D-ID is to draw.

    `seconds` is the voice's length. Raises InputError, and SetupError without a key.
    """
    if options.renderer == "d-id":
        from vidgen.did.payload import refuse

        did_account(options)
        refuse(seconds, options.background)


def did_account(options: Options) -> "Account":
    """Who pays. Raises SetupError without a key."""
    from vidgen.did.auth import Scheme, account

    return account(
        key_file=options.did_key_file,
        scheme=cast(Scheme, options.did_auth),
        keep=options.did_keep,
        stitch=options.did_stitch,
    )
