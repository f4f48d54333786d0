"""Voices whose every phoneme is known: eSpeak speakers of several languages, as eSpeak labels them.

The material of tests and benchmarks, and of the closure classifier's training.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.speech.espeak import Phone, speak_in_subprocess
from vidgen.speech.features import SAMPLE_RATE
from vidgen.work import Floats, Speech

TEXTS: Final = {
    "en-gb": "My mother bought a big blue map, but Peter maybe put papa's boat by the moon. "
    "We often visit farms and fields where brown bears play. Please make me a cup of coffee, Bob! "
    "I am happy about the simple problem. A man in the park had a bag of apples and a black lamp. "
    "Far from the harbour, the cart stops at the market. Can you remember the number of my room? "
    "The doctor asked how the calm father found his car. People keep dogs, cats and lambs. "
    "Go and get the red jacket, Anna. Both men jumped over the broken branch.",
    "en-us": "Nobody expected that the library would open before noon on Sunday. Imagine a bamboo "
    "table, a copper lamp and a box of peppermint candy. Ask Martha what happened at the camp. "
    "Two hundred people climbed up the mountain path, and many of them sang. Stop that, Sam! "
    "A rabbit ran across the backyard and vanished behind the maple. The pilot spoke calmly.",
    "de": "Mein Bruder baut am Abend ein Haus am Berg. Papa hat oft Bananen und Pflaumen gekauft. "
    "Der Baum am Bach war alt, aber niemand sprach darüber. Kommt bitte morgen zum Mittagessen! "
    "Das Problem mit der Pumpe haben wir gestern behoben. Anna fragt, ob Mama mitkommen kann.",
    "fr": "Bonjour madame, je m'appelle Pierre et j'habite à Paris. Mon papa a perdu son manteau "
    "bleu dans la montagne. Le bateau blanc part demain matin avec beaucoup de bagages. "
    "Il ne faut jamais parler de problèmes à table. La grande dame a mangé une pomme.",
    "es": "Mi mamá compró pan blanco y una botella de vino para la comida. El hombre bajó por la "
    "montaña con su caballo. También me gusta bailar en la plaza por la mañana. Pablo habla poco, "
    "pero siempre ayuda a su abuela. Nunca cambiaron la lámpara.",
    "it": "La mamma ha comprato un pomodoro e una bottiglia di vino bianco. Domani parto per Roma "
    "con il mio amico Paolo. Il bambino ama la musica e gli animali. Non parlare troppo, per "
    "favore! Abbiamo trovato una barca blu al porto.",
    "pt-br": "Minha mãe comprou pão, manteiga e batatas no mercado. O menino bebeu um copo de água "
    "e foi embora. Amanhã vamos à praia com a família. Pode me passar a bola, por favor?",
    "pl": "Mama kupiła chleb, masło i pomidory. Brat mieszka w małym domu obok parku. Proszę "
    "poczekać na autobus. Dobry pomysł, panie Adamie! Babcia lubi białe kwiaty.",
    "ru": "Мама купила хлеб и масло. Мой брат любит большие собаки и маленькие лампы. Папа был на "
    "работе, потом пошёл домой. Пожалуйста, помогите нам завтра.",
    "nl": "Mijn broer bouwt een boot in de haven. Papa heeft brood en boter gekocht. De man met de "
    "baard speelt bijna elke avond piano. Kom maar binnen, alsjeblieft!",
}
TRAINED: Final = ("en-us", "de", "fr", "es", "pl", "ru")  # languages the classifier learns from
HELD_OUT: Final = ("en-gb", "it", "pt-br", "nl")
TRAIN_VOICES: Final = ("Male1", "Male3", "Female2", "Female4", "Gene", "Steph")
TEST_VOICES: Final = ("Female1", "Male2", "Michael", "Annie")


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice and its phones, which cover it."""

    name: str
    speech: Speech
    phones: tuple[Phone, ...]
    text: str
    language: str


def voice(
    language: str = "en-gb",
    speaker: str = "Female1",
    text: str = "",
    words_per_minute: int = 175,
    pitch: float = 1.0,
    seconds: float = 0.0,
) -> Voice:
    """One eSpeak speaker saying `text` (by default the language's own), for `seconds` if given;
    the same in whatever order tests run: eSpeak keeps a clock through a process."""
    words = text or TEXTS[language]
    made = speak_in_subprocess(words, language, speaker, words_per_minute, 0.01, pitch)
    while seconds > made.seconds:
        words = f"{words} {words}"
        made = speak_in_subprocess(words, language, speaker, words_per_minute, 0.01, pitch)
    return Voice(
        f"{language}/{speaker}/{words_per_minute}",
        Speech(made.samples, SAMPLE_RATE, sha256=""),
        made.phones,
        words,
        language,
    )


def with_noise(samples: Floats, decibels: float, seed: int = 0) -> Floats:
    """White noise at this many dB below the voice."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(len(samples)) * np.sqrt((samples**2).mean())
    return np.asarray(samples + noise * 10 ** (-decibels / 20), np.float32)


def with_reverb(
    samples: Floats, seconds: float = 0.3, direct: float = 6.0, seed: int = 0
) -> Floats:
    """A room: exponentially decaying noise after the direct sound."""
    from scipy.signal import fftconvolve

    rng = np.random.default_rng(seed)
    count = int(seconds * SAMPLE_RATE)
    room = 0.3 * rng.standard_normal(count) * np.exp(-6.9 * np.arange(count) / count)
    room[0] = direct
    wet = fftconvolve(samples, room / np.sqrt((room**2).sum()))[: len(samples)]
    return np.asarray(wet, np.float32)
