#include "runner/text/tokenizer/normalizer.h"

#include <utf8proc.h>

#include <cstdlib>
#include <utility>
#include <vector>

#include "runner/text/tokenizer/pattern.h"
#include "runner/text/utf8.h"

namespace glm::runner::tokenizing {
namespace {

using Made = Result<std::unique_ptr<Normalizer>>;

class UnicodeForm final : public Normalizer {
 public:
  explicit UnicodeForm(int options) : options_(static_cast<utf8proc_option_t>(options)) {}

  std::string apply(std::string text) const override {
    utf8proc_uint8_t* mapped = nullptr;
    const utf8proc_ssize_t size_bytes =
        utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                     static_cast<utf8proc_ssize_t>(text.size()), &mapped, options_);
    if (size_bytes < 0) return text;  // only for ill-formed text, which does not come here
    std::string out(reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(size_bytes));
    std::free(mapped);
    return out;
  }

 private:
  utf8proc_option_t options_;
};

class Lowercase final : public Normalizer {
 public:
  std::string apply(std::string text) const override {
    std::string out;
    out.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Step step = utf8_character(text, at);
      if (step.code_point == 0x130) {  // the one letter whose lower case has two characters
        out += "i\u0307";
      } else {
        append_utf8(out, static_cast<char32_t>(
                             utf8proc_tolower(static_cast<utf8proc_int32_t>(step.code_point))));
      }
      at += step.length_bytes;
    }
    return out;
  }
};

class Replace final : public Normalizer {
 public:
  Replace(Regex pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  std::string apply(std::string text) const override {
    std::string out;
    std::size_t kept = 0;
    Regex::Scan scan(pattern_, text);
    while (const auto match = scan.next()) {
      out.append(text, kept, match->first - kept).append(content_);
      kept = match->end;
    }
    return out.append(text, kept);
  }

 private:
  Regex pattern_;
  std::string content_;
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  std::string apply(std::string text) const override {
    if (!text.empty()) text.insert(0, prefix_);
    return text;
  }

 private:
  std::string prefix_;
};

struct Sides {
  bool left = true, right = true;
};

class Strip final : public Normalizer {
 public:
  explicit Strip(Sides sides) : sides_(sides) {}

  std::string apply(std::string text) const override {
    std::size_t first = 0;
    std::size_t end = text.size();
    while (sides_.left && first < end) {
      const Utf8Step step = utf8_character(text, first);
      if (!is_white_space(step.code_point)) break;
      first += step.length_bytes;
    }
    while (sides_.right && end > first) {
      const std::size_t before = previous_character(text, end);
      if (!is_white_space(utf8_character(text, before).code_point)) break;
      end = before;
    }
    return text.substr(first, end - first);
  }

 private:
  Sides sides_;
};

class Sequence final : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}
  std::string apply(std::string text) const override {
    for (const auto& step : steps_) text = step->apply(std::move(text));
    return text;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

Made make_nfc(const Json&) {
  return std::make_unique<UnicodeForm>(UTF8PROC_COMPOSE);
}
Made make_nfd(const Json&) {
  return std::make_unique<UnicodeForm>(UTF8PROC_DECOMPOSE);
}
Made make_nfkc(const Json&) {
  return std::make_unique<UnicodeForm>(UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
}
Made make_nfkd(const Json&) {
  return std::make_unique<UnicodeForm>(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
}
Made make_lowercase(const Json&) {
  return std::make_unique<Lowercase>();
}

Made make_replace(const Json& component) {
  Regex pattern = GLM_TRY(pattern_field(component));
  std::string content = GLM_TRY(text_field(component, "content"));
  return std::make_unique<Replace>(std::move(pattern), std::move(content));
}

Made make_prepend(const Json& component) {
  return std::make_unique<Prepend>(GLM_TRY(text_field(component, "prepend")));
}

Made make_strip(const Json& component) {
  const bool left = GLM_TRY(flag_field(component, "strip_left", true));
  const bool right = GLM_TRY(flag_field(component, "strip_right", true));
  return std::make_unique<Strip>(Sides{.left = left, .right = right});
}

// Components of a sequence are not sequences again in any file we know; a few levels are enough.
constexpr int kDepthMax = 8;

Made make(const Json& component, int depth);

Made make_sequence(const Json& component, int depth) {
  const Json& parts = member(component, "normalizers");
  if (!parts.is_array()) return make_error(Errc::corrupt, "normalizers is not a list");
  std::vector<std::unique_ptr<Normalizer>> steps;
  for (const Json& part : parts) {
    auto step = GLM_TRY(make(part, depth + 1));
    if (step) steps.push_back(std::move(step));
  }
  return std::make_unique<Sequence>(std::move(steps));
}

struct Row {
  const char* type;
  Made (*make)(const Json&);
};

constexpr Row kNormalizers[] = {
    {"Lowercase", &make_lowercase}, {"NFC", &make_nfc},     {"NFD", &make_nfd},
    {"NFKC", &make_nfkc},           {"NFKD", &make_nfkd},   {"Prepend", &make_prepend},
    {"Replace", &make_replace},     {"Strip", &make_strip},
};

Made make(const Json& component, int depth) {
  if (component.is_null()) return std::unique_ptr<Normalizer>();
  const std::string type = type_of(component);
  if (depth > kDepthMax) return make_error(Errc::unsupported, "sequences nested too deeply");
  if (type == "Sequence") return make_sequence(component, depth);
  for (const Row& row : kNormalizers) {
    if (type == row.type) return row.make(component).with(type);
  }
  return make_error(Errc::unsupported, "type '{}' is not supported", type);
}

}  // namespace

Result<std::unique_ptr<Normalizer>> make_normalizer(const Json& component) {
  return make(component, 0).with("normalizer");
}

}  // namespace glm::runner::tokenizing
