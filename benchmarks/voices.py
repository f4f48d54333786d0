"""An eSpeak speaker as files: voice.wav, voice.json (the phones) and voice.txt (the words).

python -m benchmarks.voices FOLDER [LANGUAGE [SPEAKER]]
"""

import json
import sys
from dataclasses import astuple
from pathlib import Path

from tests.support.speakers import voice


def main(folder: str, language: str = "en-gb", speaker: str = "Female1") -> None:
    import soundfile

    made = voice(language, speaker)
    where = Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    soundfile.write(where / "voice.wav", made.speech.samples, made.speech.rate)
    phones = json.dumps([astuple(phone) for phone in made.phones], ensure_ascii=False)
    (where / "voice.json").write_text(phones, "utf-8")
    (where / "voice.txt").write_text(made.text, "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
