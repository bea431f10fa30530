#include "runner/text/tokenizer/unicode_form.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

#include "runner/text/tokenizer/old_unicode.h"
#include "runner/text/utf8.h"

namespace glm::runner::tokenizing {
namespace {

bool composes(UnicodeForm form) {
  return form == UnicodeForm::nfc || form == UnicodeForm::nfkc;
}

bool is_compatible(UnicodeForm form) {
  return form == UnicodeForm::nfkc || form == UnicodeForm::nfkd;
}

// Never changed by the form, nor anything beside it: most of what people write.
bool is_inert(char32_t c, UnicodeForm form) {
  if (c < 0x80 || (c >= 0x3400 && c < 0xA000)) return true;
  return form == UnicodeForm::nfc && c < 0x300;
}

utf8proc_propval_t combining_class(utf8proc_int32_t c) {
  return utf8proc_get_property(c)->combining_class;
}

// Canonical ordering of a stretch. utf8proc's own is quadratic in the length of a run of marks.
void order(std::vector<utf8proc_int32_t>& characters) {
  const auto is_starter = [](utf8proc_int32_t c) { return combining_class(c) == 0; };
  for (auto at = characters.begin(); at != characters.end();) {
    const auto first = std::find_if_not(at, characters.end(), is_starter);
    const auto end = std::find_if(first, characters.end(), is_starter);
    if (end - first > 1) {
      std::stable_sort(first, end,
                       [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    }
    at = end;
  }
}

class Writer {
 public:
  explicit Writer(UnicodeForm form) : form_(form) {}

  void add(char32_t c) {
    std::array<utf8proc_int32_t, 32> parts{};  // the longest decomposition has 18
    int options = is_compatible(form_) ? UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE : UTF8PROC_DECOMPOSE;
    int boundary = 0;
    const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts.data(),
                                               static_cast<utf8proc_ssize_t>(parts.size()),
                                               static_cast<utf8proc_option_t>(options), &boundary);
    if (count < 0 || count > static_cast<utf8proc_ssize_t>(parts.size())) return add_as_is(c);
    waiting_.insert(waiting_.end(), parts.begin(), parts.begin() + count);
  }

  // Nothing before it meets anything behind it.
  void add_as_is(char32_t c) {
    flush();
    append_utf8(out_, c);
  }

  std::string finish() {
    flush();
    return std::move(out_);
  }

 private:
  void flush() {
    order(waiting_);
    auto count = static_cast<utf8proc_ssize_t>(waiting_.size());
    if (composes(form_)) {
      count = utf8proc_normalize_utf32(
          waiting_.data(), count,
          static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    }
    for (utf8proc_ssize_t i = 0; i < count; ++i) {
      append_utf8(out_, static_cast<char32_t>(waiting_[static_cast<std::size_t>(i)]));
    }
    waiting_.clear();
  }

  UnicodeForm form_;
  std::string out_;
  std::vector<utf8proc_int32_t> waiting_;
};

}  // namespace

std::string to_form(std::string_view text, UnicodeForm form) {
  std::size_t inert = 0;
  std::size_t before = 0;  // the last inert character, which a mark after it would change
  while (inert < text.size()) {
    const Utf8Step step = utf8_character(text, inert);
    if (!is_inert(step.code_point, form)) break;
    before = inert;
    inert += step.length_bytes;
  }
  if (inert == text.size()) return std::string(text);
  Writer writer(form);
  for (std::size_t at = before; at < text.size();) {
    const Utf8Step step = utf8_character(text, at);
    if (is_unknown_to_normalization(step.code_point)) {
      writer.add_as_is(step.code_point);
    } else {
      writer.add(step.code_point);
    }
    at += step.length_bytes;
  }
  return std::string(text.substr(0, before)) + writer.finish();
}

}  // namespace glm::runner::tokenizing
