"""The languages that Praat's eSpeak speaks, by the codes people write. Light to import."""

from typing import Final

from vidgen.errors import InputError

# code -> the name Praat's synthesizer wants. Only ASCII names: Praat compares them byte by byte.
LANGUAGES: Final = {
    "af": "Afrikaans",
    "ar": "Arabic",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "bs": "Bosnian",
    "ca": "Catalan",
    "cs": "Czech",
    "cy": "Welsh",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English (America)",
    "en-gb": "English (Great Britain)",
    "en-gb-rp": "English (Received Pronunciation)",
    "en-gb-scotland": "English (Scotland)",
    "en-us": "English (America)",
    "eo": "Esperanto",
    "es": "Spanish (Spain)",
    "es-419": "Spanish (Latin America)",
    "es-mx": "Spanish (Latin America)",
    "et": "Estonian",
    "eu": "Basque",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French (France)",
    "fr-be": "French (Belgium)",
    "fr-ch": "French (Switzerland)",
    "ga": "Gaelic (Irish)",
    "gu": "Gujarati",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "hy": "Armenian (East Armenia)",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "ka": "Georgian",
    "kn": "Kannada",
    "ko": "Korean",
    "la": "Latin",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "mk": "Macedonian",
    "ml": "Malayalam",
    "mr": "Marathi",
    "ms": "Malay",
    "mt": "Maltese",
    "ne": "Nepali",
    "nl": "Dutch",
    "pa": "Punjabi",
    "pl": "Polish",
    "pt": "Portuguese (Portugal)",
    "pt-br": "Portuguese (Brazil)",
    "ro": "Romanian",
    "ru": "Russian",
    "si": "Sinhala",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sq": "Albanian",
    "sr": "Serbian",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "tr": "Turkish",
    "ur": "Urdu",
    "vi": "Vietnamese (Northern)",
    "yue": "Chinese (Cantonese)",
    "zh": "Chinese (Mandarin)",
    "zh-cn": "Chinese (Mandarin)",
    "zh-hk": "Chinese (Cantonese)",
    "zh-tw": "Chinese (Mandarin)",
}


def praat_language(language: str) -> str:
    """Praat's name for a code such as "de" or "pt_BR", or for that name itself.

    Raises InputError, listing the codes, for a language that it does not speak.
    """
    if language in LANGUAGES.values():
        return language
    code = language.strip().lower().replace("_", "-")
    while code:
        if code in LANGUAGES:
            return LANGUAGES[code]
        code = code.rpartition("-")[0]  # "de-at" is served by "de"
    raise InputError(
        "The words cannot be read in the language {language}.",
        hint="Choose one of: {known}.",
        code="puppet.language",
        language=language,
        known=", ".join(sorted(LANGUAGES)),
    )
