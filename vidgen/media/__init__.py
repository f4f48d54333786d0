"""Sound and pictures in and out of files: reading voices, writing film pieces, joining both."""

from vidgen.media.film import FilmWriter
from vidgen.media.formats import ENCODINGS, Encoding, Sound, encoding_for, hardware_codec
from vidgen.media.mux import (
    Probe,
    decode_frames,
    first_frame,
    mux_film,
    notes_of,
    probe,
    write_poster,
)
from vidgen.media.pieces import Segment, Segments, spans
from vidgen.media.previews import Previews, save_cutout, save_preview, tell_cutout
from vidgen.media.target import atomic_output, check_output, disk_errors, free_name
from vidgen.media.voice import flaws, load_speech

__all__ = [
    "ENCODINGS",
    "Encoding",
    "FilmWriter",
    "Previews",
    "Probe",
    "Segment",
    "Segments",
    "Sound",
    "atomic_output",
    "check_output",
    "decode_frames",
    "disk_errors",
    "encoding_for",
    "first_frame",
    "flaws",
    "free_name",
    "hardware_codec",
    "load_speech",
    "mux_film",
    "notes_of",
    "probe",
    "save_cutout",
    "save_preview",
    "spans",
    "tell_cutout",
    "write_poster",
]
