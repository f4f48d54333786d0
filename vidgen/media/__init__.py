"""Sound and pictures in and out of files: reading voices, writing film pieces, joining both."""

from vidgen.media.film import FilmWriter
from vidgen.media.formats import ENCODINGS, Encoding, Sound, encoding_for, hardware_codec
from vidgen.media.mux import Probe, decoded, first_frame, join, notes_of, probe, write_poster
from vidgen.media.pieces import Pieces, Span, spans
from vidgen.media.previews import Previews, save_cutout, save_preview, tell_cutout
from vidgen.media.target import atomic_output, check_output, full_disk_told, unused_name
from vidgen.media.voice import flaws, read_speech

__all__ = [
    "ENCODINGS",
    "Encoding",
    "FilmWriter",
    "Pieces",
    "Previews",
    "Probe",
    "Sound",
    "Span",
    "atomic_output",
    "check_output",
    "decoded",
    "encoding_for",
    "first_frame",
    "flaws",
    "full_disk_told",
    "hardware_codec",
    "join",
    "notes_of",
    "probe",
    "read_speech",
    "save_cutout",
    "save_preview",
    "spans",
    "tell_cutout",
    "unused_name",
    "write_poster",
]
