// The decoders that put spaces between words: WordPiece, CTC, BPEDecoder, and none at all.
#include <optional>
#include <utility>

#include "runner/text/tokenizer/decoder.h"

namespace glm::runner::tokenizing {
namespace {

void replace_all(std::string& text, std::string_view sought, std::string_view content) {
  if (sought.empty()) return;
  std::string out;
  std::size_t done = 0;
  for (std::size_t at; (at = text.find(sought, done)) != std::string::npos;) {
    out.append(text, done, at - done).append(content);
    done = at + sought.size();
  }
  if (done > 0) text = out.append(text, done);
}

// Artifacts of English, within one token.
void clean_up(std::string& text) {
  constexpr std::pair<const char*, const char*> kRules[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
  };
  for (const auto& [sought, content] : kRules) replace_all(text, sought, content);
}

class WordPieceDecoder final : public WholeTokenStage {
 public:
  WordPieceDecoder(std::string prefix, bool cleans) : prefix_(std::move(prefix)), cleans_(cleans) {}

 private:
  void token(std::string token, const TokenSink& next) override {
    if (!is_first_) {
      if (token.starts_with(prefix_)) {
        token.erase(0, prefix_.size());
      } else {
        token = std::string(" ").append(token);
      }
    }
    is_first_ = false;
    if (cleans_) clean_up(token);
    next(token, Ends::yes);
  }

  std::string prefix_;
  bool cleans_;
  bool is_first_ = true;
};

struct CtcSettings {
  std::string pad, delimiter;
  bool cleans = true;
};

// Speech models repeat a token for as long as its sound lasts.
class Ctc final : public WholeTokenStage {
 public:
  explicit Ctc(CtcSettings settings) : settings_(std::move(settings)) {}

 private:
  void token(std::string token, const TokenSink& next) override {
    if (before_ == token) return;
    before_ = token;
    replace_all(token, settings_.pad, "");
    if (settings_.cleans) {
      clean_up(token);
      replace_all(token, settings_.delimiter, " ");
    }
    if (!token.empty()) next(token, Ends::yes);
  }

  CtcSettings settings_;
  std::optional<std::string> before_;
};

// The end of a word is a space, except at the end of the text: so the newest token waits.
class BpeDecoder final : public WholeTokenStage {
 public:
  explicit BpeDecoder(std::string suffix) : suffix_(std::move(suffix)) {}

 private:
  void token(std::string token, const TokenSink& next) override {
    if (waiting_) {
      replace_all(*waiting_, suffix_, " ");
      next(*waiting_, Ends::yes);
    }
    waiting_ = std::move(token);
  }

  void last(const TokenSink& next) override {
    if (!waiting_) return;
    replace_all(*waiting_, suffix_, "");
    next(*waiting_, Ends::yes);
    waiting_.reset();
  }

  std::string suffix_;
  std::optional<std::string> waiting_;
};

class JoinWithSpaces final : public WholeTokenStage {
 private:
  void token(std::string token, const TokenSink& next) override {
    if (!is_first_) token = std::string(" ").append(token);
    is_first_ = false;
    next(token, Ends::yes);
  }

  bool is_first_ = true;
};

}  // namespace

Result<MakeStage> make_word_piece_decoder(const Json& component) {
  const std::string prefix = GLM_TRY(text_field(component, "prefix"));
  const bool cleans = GLM_TRY(flag_field(component, "cleanup", true));
  return MakeStage([=] { return std::make_unique<WordPieceDecoder>(prefix, cleans); });
}

Result<MakeStage> make_ctc(const Json& component) {
  CtcSettings settings;
  settings.pad = GLM_TRY(text_field(component, "pad_token"));
  settings.delimiter = GLM_TRY(text_field(component, "word_delimiter_token"));
  settings.cleans = GLM_TRY(flag_field(component, "cleanup", true));
  return MakeStage([settings] { return std::make_unique<Ctc>(settings); });
}

Result<MakeStage> make_bpe_decoder(const Json& component) {
  const std::string suffix = GLM_TRY(text_field(component, "suffix"));
  return MakeStage([=] { return std::make_unique<BpeDecoder>(suffix); });
}

MakeStage make_join_with_spaces() {
  return [] { return std::make_unique<JoinWithSpaces>(); };
}

}  // namespace glm::runner::tokenizing
