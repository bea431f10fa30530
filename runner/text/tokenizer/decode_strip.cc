// Strip: up to so many of one character off each end of a token. After Fuse that is the whole text.
#include <utility>

#include "runner/text/tokenizer/decoder.h"

namespace glm::runner::tokenizing {
namespace {

struct Settings {
  std::string content;
  std::size_t start = 0, stop = 0;
};

class Strip final : public DecodeStage {
 public:
  explicit Strip(Settings settings) : settings_(std::move(settings)) {}

  void push(std::string_view part, Ends ends, const TokenSink& next) override {
    while (stripped_ < settings_.start && part.starts_with(settings_.content)) {
      part.remove_prefix(settings_.content.size());
      ++stripped_;
    }
    if (!part.empty()) stripped_ = settings_.start;  // the beginning is over
    held_ += part;
    const std::size_t kept = held_.size() - end_run_bytes();
    if (ends == Ends::no) {
      next(std::string_view(held_).substr(0, kept), Ends::no);
      held_.erase(0, kept);
      return;
    }
    next(std::string_view(held_).substr(0, kept), Ends::yes);
    held_.clear();
    stripped_ = 0;
  }

  void finish(const TokenSink& next) override {
    if (!held_.empty()) push({}, Ends::yes, next);
  }

 private:
  // How much of the end would go, were this the end.
  std::size_t end_run_bytes() const {
    std::string_view rest = held_;
    for (std::size_t i = 0; i < settings_.stop && rest.ends_with(settings_.content); ++i) {
      rest.remove_suffix(settings_.content.size());
    }
    return held_.size() - rest.size();
  }

  Settings settings_;
  std::string held_;
  std::size_t stripped_ = 0;
};

}  // namespace

Result<MakeStage> make_strip_decoder(const Json& component) {
  Settings settings;
  settings.content = GLM_TRY(character_field(component, "content"));
  settings.start = GLM_TRY(count_field(component, "start", 0));
  settings.stop = GLM_TRY(count_field(component, "stop", 0));
  return MakeStage([settings] { return std::make_unique<Strip>(settings); });
}

}  // namespace glm::runner::tokenizing
