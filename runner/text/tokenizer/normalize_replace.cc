// Replace: every match by one text. Prepend: a text before the passage.
#include <algorithm>
#include <utility>

#include "runner/text/tokenizer/normalizer.h"
#include "runner/text/tokenizer/pattern.h"

namespace glm::runner::tokenizing {
namespace {

class Replace final : public Normalizer {
 public:
  Replace(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  void apply(Passage& passage) const override {
    const std::string_view text = passage.text;
    const std::size_t start = passage.start_bytes;
    std::string out;
    std::size_t kept = 0;
    std::size_t start_bytes = 0;
    const auto keep_until = [&](std::size_t end) {
      out += text.substr(kept, end - kept);
      if (start > kept) start_bytes += std::min(start, end) - kept;
    };
    Pattern::Scan scan(pattern_, text);
    while (const auto match = scan.next()) {
      keep_until(match->first);
      out += content_;
      // What stands for several characters stems from the last of them.
      if (start > 0 && match->end <= start) start_bytes += content_.size();
      kept = match->end;
    }
    if (out.empty() && kept == 0) return;
    keep_until(text.size());
    passage.text = std::move(out);
    passage.start_bytes = start_bytes;
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  void apply(Passage& passage) const override {
    if (passage.text.empty()) return;
    passage.text.insert(0, prefix_);
    if (passage.start_bytes > 0) passage.start_bytes += prefix_.size();
  }

 private:
  std::string prefix_;
};

// A file that lengthens every character by more than this is not a tokenizer.
constexpr std::size_t kContentMaxBytes = 1024;

Result<std::string> content_field(const Json& component, const char* key) {
  std::string content = GLM_TRY(text_field(component, key));
  if (content.size() > kContentMaxBytes) {
    return make_error(Errc::exhausted, "{} has {} bytes, at most {}", key, content.size(),
                      kContentMaxBytes);
  }
  return content;
}

}  // namespace

MadeNormalizer make_replace(const Json& component) {
  Pattern pattern = GLM_TRY(pattern_field(component));
  std::string content = GLM_TRY(content_field(component, "content"));
  return std::make_unique<Replace>(std::move(pattern), std::move(content));
}

MadeNormalizer make_prepend(const Json& component) {
  return std::make_unique<Prepend>(GLM_TRY(content_field(component, "prepend")));
}

}  // namespace glm::runner::tokenizing
