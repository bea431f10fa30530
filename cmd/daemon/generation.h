// One question under way: its answers, from tokens as the runner sends them to pieces of text.
//
// Thread safety: one thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cmd/daemon/answer_text.h"
#include "cmd/daemon/metrics.h"
#include "cmd/daemon/models.h"
#include "runner/frames.h"
#include "runner/sample/sampling_options.h"

namespace glm::daemon {

struct GenerationRequest {
  std::string prompt;                    // rendered
  std::vector<std::int32_t> prompt_ids;  // in its place where not empty
  runner::EncodeOptions::Specials specials = runner::EncodeOptions::Specials::omit;
  TextOptions text;
  std::optional<std::int64_t> tokens_max;  // absent: up to the end of the context
  std::int64_t tokens_min = 0;             // before the model may end its turn
  std::int32_t priority = 0;               // lower ones go first
  bool ignore_eos = false;                 // only tokens_max, stops or the context end it
  bool every_step = false;  // also pieces without text: a special token, half a character
  runner::SamplingOptions sampling;
  std::size_t answers = 1;  // to the one prompt; the i-th has the seed plus i
  Clock::Steady arrived;    // when the client asked
};

// Of all answers together.
struct GenerationStats {
  std::string done_reason;         // of the one that ended last: "stop", "length", "tool_calls"
  std::int64_t prompt_tokens = 0;  // counted once
  std::int64_t cached_tokens = 0;  // of these, found in the prefix cache by the first answer
  std::int64_t tokens = 0;
  std::uint64_t prompt_ns = 0;
  std::uint64_t eval_ns = 0;
};

class Generation {
 public:
  // Hands the request to the runner. The model must outlive the generation. Errc::invalid_argument
  // when the prompt does not fit the context, with both counts.
  static Result<std::unique_ptr<Generation>> start(LoadedModel& model, GenerationRequest request);

  // Cancels what is not finished.
  ~Generation();

  // The next piece that is not empty (but see every_step), of any answer; nullopt at the end of
  // all. `gone` is asked now and then: true cancels with Errc::cancelled.
  Result<std::optional<Delta>> next(const std::function<bool()>& gone);

  // True as soon as the last piece is out; then stats() holds.
  bool finished() const { return open_ == 0; }

  std::size_t answers() const { return answers_.size(); }
  const GenerationStats& stats() const { return stats_; }

 private:
  struct Answer {
    Answer(const LoadedModel& model, const GenerationRequest& request)
        : text(model.text->tokenizer(), request.text, request.prompt),
          meter(model.metrics, request.arrived) {}

    AnswerText text;
    AnswerMeter meter;
    std::int64_t tokens = 0;
    Clock::Steady first_token;
    bool done = false;
  };

  Generation(LoadedModel& model, const GenerationRequest& request);

  Result<Delta> take(std::size_t index, const TokenEvent& event);
  void finish(Answer& answer, Finished how, Clock::Steady now);
  bool time_to_ask();

  LoadedModel& model_;
  std::shared_ptr<TokenStream> stream_;
  std::deque<Answer> answers_;
  std::size_t open_ = 0;  // answers that are not done
  const bool every_step_;
  Clock::Steady started_;
  Clock::Steady asked_;  // after the client
  GenerationStats stats_;
};

}  // namespace glm::daemon
