"""The 191 sounds that the recogniser tells apart, in its own order: IPA, tones, two marks.

Only the names. What a mouth does for each of them is `visemes`' business.
"""

from typing import Final

# The first four are marks of the network's makers; they are never heard in speech.
_NAMES: Final = (
    "<pad> <sos> <eos> <unk> _ % , a aɪ aʊ b c d d͡ʒ e eə eɪ f g h i j ja je jo ju jʌ k "
    "kʰ k͈ l m n o oʊ p pʰ p͈ r s s͈ t tʰ t͈ t͡ɕ t͡ɕʰ t͡ɕ͈ t͡ʃ u v w wa we wi wʌ x y z ~ "
    "² ³ ¹ à ã ä å æ ç ì ð ñ õ ø ħ ĩ ŋ œ ũ ǐ ɐ ɑ ɒ ɓ ɔ ɔɪ ɕ ɖ ɗ ɘ ə ɚ ɛ ɜ ɝ ɟ ɡ ɣ ɤ ɥ ɦ "
    "ɨ ɪ ɪə ɫ ɮ ɯ ɯi ɰ ɱ ɲ ɴ ɵ ɸ ɹ ɻ ɽ ɾ ʀ ʁ ʂ ʃ ʈ ʉ ʊ ʋ ʌ ʎ ʏ ʐ ʑ ʒ ʔ ʙ ʝ ʰ ʱ ʲ ʷ ˀ ː ˑ "
    "˕ ˞ ˤ ˥ ˦ ˧ ˨ ˩ \u0303 \u0306 \u0308 \u030a \u030c \u030d \u031a \u031d \u031e "
    "\u031f \u0320 \u0325 \u0329 \u032a \u032c \u032f \u0330 \u033a \u033b \u0348 \u034d "
    "\u035c \u0361 β θ χ ᵊ ᵝ ẑ ẽ ‿ ⁰ ⁴ ⁵ ⁻ ⁽ ⁾ 一 不 ꜔ <wb> <blank>"
)
TOKENS: Final = tuple(_NAMES.split(" "))
BOUNDARY: Final = TOKENS.index("<wb>")  # between two words
BLANK: Final = TOKENS.index("<blank>")  # nothing new
