// Character classes as the reference implementation has them, whose tables are older than ours
// (Unicode 8 for categories, 9 for normalization): a tokenizer must cut today's punctuation as it
// was cut in training.
#pragma once

namespace glm::runner::tokenizing {

// Neither decomposes, composes nor moves, whatever Unicode says by now.
bool is_unknown_to_normalization(char32_t code_point);

bool is_punctuation(char32_t code_point);      // P*, and all ASCII that is neither letter nor digit
bool is_mark(char32_t code_point);             // M*
bool is_nonspacing_mark(char32_t code_point);  // Mn
bool is_other(char32_t code_point);            // control, format, private use

}  // namespace glm::runner::tokenizing
