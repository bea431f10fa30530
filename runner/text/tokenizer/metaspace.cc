#include "runner/text/tokenizer/metaspace.h"

#include <utility>

#include "runner/text/tokenizer/split.h"

namespace glm::runner::tokenizing {
namespace {

using Prepend = MetaspaceSettings::Prepend;

class Metaspace final : public PreTokenizer {
 public:
  explicit Metaspace(MetaspaceSettings settings)
      : settings_(std::move(settings)),
        character_(utf8_character(settings_.replacement, 0).code_point) {}

  void cut(const Piece& piece, const PieceSink& sink) const override {
    std::string text;
    text.reserve(piece.text.size() + piece.text.size() / 2 + 4);
    if (prepends_to(piece)) text += settings_.replacement;
    for (const char c : piece.text) {
      if (c == ' ') {
        text += settings_.replacement;
      } else {
        text.push_back(c);
      }
    }
    // Enough to say whether the text begins here; nobody asks how far that goes any more.
    const Piece written{text, piece.start_bytes};
    if (!settings_.split) return sink(written);
    split_at(
        written, SplitBehavior::merged_with_next, [this](char32_t c) { return c == character_; },
        sink);
  }

 private:
  bool prepends_to(const Piece& piece) const {
    if (piece.text.starts_with(' ') || piece.text.starts_with(settings_.replacement)) return false;
    return settings_.prepend == Prepend::always ||
           (settings_.prepend == Prepend::first && piece.at_start());
  }

  MetaspaceSettings settings_;
  char32_t character_;
};

struct PrependName {
  const char* name;
  Prepend prepend;
};

constexpr PrependName kPrepends[] = {
    {"always", Prepend::always},
    {"first", Prepend::first},
    {"never", Prepend::never},
};

Result<Prepend> prepend_field(const Json& component) {
  const Json& scheme = member(component, "prepend_scheme");
  Prepend prepend = Prepend::always;
  if (!scheme.is_null()) {
    const std::string name = GLM_TRY(text_field(component, "prepend_scheme"));
    const auto* row = std::begin(kPrepends);
    while (row != std::end(kPrepends) && name != row->name) ++row;
    if (row == std::end(kPrepends)) {
      return make_error(Errc::unsupported, "prepend_scheme '{}' is not supported", name);
    }
    prepend = row->prepend;
  }
  if (GLM_TRY(flag_field(component, "add_prefix_space", true))) return prepend;
  if (!scheme.is_null() && prepend != Prepend::never) {
    return make_error(Errc::corrupt, "add_prefix_space is false, but prepend_scheme is '{}'",
                      scheme.get_ref<const std::string&>());
  }
  return Prepend::never;
}

}  // namespace

Result<MetaspaceSettings> read_metaspace(const Json& component) {
  MetaspaceSettings settings;
  settings.replacement = GLM_TRY(character_field(component, "replacement"));
  settings.prepend = GLM_TRY(prepend_field(component));
  settings.split = GLM_TRY(flag_field(component, "split", true));
  return settings;
}

MadePreTokenizer make_metaspace(const Json& component) {
  return std::make_unique<Metaspace>(GLM_TRY(read_metaspace(component)));
}

}  // namespace glm::runner::tokenizing
