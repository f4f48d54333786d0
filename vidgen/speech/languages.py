"""The languages that Praat's eSpeak speaks, by the codes people write. Light to import."""

from typing import Final

from vidgen.errors import InputError

# code -> the name Praat's synthesizer wants. Only ASCII names: Praat compares them byte by byte.
LANGUAGES: Final = {
    "af": "Afrikaans",
    "am": "Amharic",
    "an": "Aragonese",
    "ar": "Arabic",
    "as": "Assamese",
    "az": "Azerbaijani",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "bs": "Bosnian",
    "ca": "Catalan",
    "cmn": "Chinese (Mandarin)",
    "cs": "Czech",
    "cy": "Welsh",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English (America)",
    "en-029": "English (Caribbean)",
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
    "fr-fr": "French (France)",
    "ga": "Gaelic (Irish)",
    "gn": "Guarani",
    "gu": "Gujarati",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "hy": "Armenian (East Armenia)",
    "ia": "Interlingua",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "ka": "Georgian",
    "kl": "Greenlandic",
    "kn": "Kannada",
    "ko": "Korean",
    "kok": "Konkani",
    "ku": "Kurdish",
    "ky": "Kyrgyz",
    "la": "Latin",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "mk": "Macedonian",
    "ml": "Malayalam",
    "mr": "Marathi",
    "ms": "Malay",
    "mt": "Maltese",
    "my": "Myanmar (Burmese)",
    "ne": "Nepali",
    "nl": "Dutch",
    "om": "Oromo",
    "or": "Oriya",
    "pa": "Punjabi",
    "pap": "Papiamento",
    "pl": "Polish",
    "pt": "Portuguese (Portugal)",
    "pt-br": "Portuguese (Brazil)",
    "ro": "Romanian",
    "ru": "Russian",
    "sd": "Sindhi",
    "si": "Sinhala",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sq": "Albanian",
    "sr": "Serbian",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "tn": "Setswana",
    "tr": "Turkish",
    "tt": "Tatar",
    "ur": "Urdu",
    "vi": "Vietnamese (Northern)",
    "vi-vn-x-central": "Vietnamese (Central)",
    "vi-vn-x-south": "Vietnamese (Southern)",
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
