// The four Unicode normalization forms.
#pragma once

#include <string>
#include <string_view>

namespace glm::runner::tokenizing {

enum class UnicodeForm { nfc, nfd, nfkc, nfkd };

// Well-formed in, well-formed out. Time is n log n at worst, also for a text of combining marks.
std::string to_form(std::string_view text, UnicodeForm form);

}  // namespace glm::runner::tokenizing
