// A question under way, with the tiny model's tokenizer and a runner that says what the test says.
#include "cmd/daemon/generation.h"

#include <gtest/gtest.h>

#include "tests/fakes/fake_runners.h"

namespace glm::daemon {
namespace {

using runner::FinishReason;

class GenerationTest : public testing::Test {
 protected:
  GenerationTest() {
    const auto files = runner::files_in(GLM_SOURCE_DIR "/models/glm-tiny");
    EXPECT_TRUE(files.ok());
    auto text = TextModel::load(*files, "");
    EXPECT_TRUE(text.ok());
    runner_ = std::make_shared<fakes::FakeRunner>(device_, "m", 10);
    model_ = std::make_unique<LoadedModel>(
        LoadedModel{{},
                    {},
                    std::make_shared<const TextModel>(*std::move(text)),
                    runner_,
                    metrics_.model("m"),
                    {}});
    model_->manifest.name = "m";
  }

  std::vector<std::int32_t> ids(const std::string& text) {
    return model_->text->tokenizer().encode(text, {});
  }
  Result<std::unique_ptr<Generation>> ask(const std::string& prompt, std::size_t answers = 1,
                                          std::vector<std::string> stops = {}) {
    GenerationRequest request;
    request.prompt = prompt;
    request.text.plain_text = true;
    request.text.stops = std::move(stops);
    request.answers = answers;
    request.sampling.seed = 40;
    request.arrived = std::chrono::steady_clock::now();
    return Generation::start(*model_, std::move(request));
  }
  void say(std::size_t answer, const std::string& text, FinishReason finish = FinishReason::none) {
    runner::RequestEvent event;
    event.id = runner_->stream->id(answer);
    event.tokens = ids(text);
    event.finish = finish;
    event.cached_tokens = 3;
    (void)runner_->stream->push(std::move(event));
  }
  static Delta next(Generation& generation) {
    auto delta = generation.next({});
    EXPECT_TRUE(delta.ok() && delta->has_value());
    return delta.ok() && delta->has_value() ? **delta : Delta{};
  }

  fakes::FakeDevice device_;
  Metrics metrics_;
  std::shared_ptr<fakes::FakeRunner> runner_;
  std::unique_ptr<LoadedModel> model_;
};

TEST_F(GenerationTest, GivesThePiecesOfItsAnswerAndTheReasonOfItsEnd) {
  const auto generation = *ask("Hello");
  say(0, "one");
  say(0, " two", FinishReason::length);
  const Delta first = next(*generation);
  EXPECT_EQ(first.content, "one");
  EXPECT_EQ(first.done_reason, "");
  EXPECT_FALSE(generation->finished());
  const Delta second = next(*generation);
  EXPECT_EQ(second.content, " two");
  EXPECT_EQ(second.done_reason, "length");
  EXPECT_TRUE(generation->finished());
  EXPECT_FALSE(generation->next({})->has_value());
  EXPECT_EQ(generation->stats().prompt_tokens, static_cast<std::int64_t>(ids("Hello").size()));
  EXPECT_EQ(generation->stats().cached_tokens, 3);
  EXPECT_EQ(metrics_.model("m").finished[1], 1u);
  EXPECT_EQ(metrics_.model("m").first_token.cumulative().back(), 1u);
}

TEST_F(GenerationTest, KeepsSeveralAnswersApart) {
  const auto generation = *ask("Hello", 3);
  ASSERT_EQ(runner_->submitted.size(), 3u);
  EXPECT_EQ(runner_->submitted[0].sampling.seed, 40u);
  EXPECT_EQ(runner_->submitted[2].sampling.seed, 42u);
  EXPECT_EQ(runner_->submitted[2].prompt, runner_->submitted[0].prompt);
  say(2, "c", FinishReason::length);
  say(0, "a");
  say(1, "b", FinishReason::stop);
  say(0, "a", FinishReason::stop);
  std::string texts[3];
  std::string reasons[3];
  while (!generation->finished()) {
    const Delta delta = next(*generation);
    texts[delta.answer] += delta.content;
    reasons[delta.answer] += delta.done_reason;
  }
  EXPECT_EQ(texts[0] + "|" + texts[1] + "|" + texts[2], "aa|b|c");
  EXPECT_EQ(reasons[0] + "|" + reasons[1] + "|" + reasons[2], "stop|stop|length");
  EXPECT_EQ(generation->stats().tokens, 4);
  EXPECT_TRUE(runner_->cancelled.empty());
}

TEST_F(GenerationTest, CancelsOnlyTheAnswerThatAStopStringEnds) {
  const auto generation = *ask("Hello", 2, {"x"});
  say(1, "axb");
  say(1, "more");
  say(0, "a", FinishReason::stop);
  const Delta stopped = next(*generation);
  EXPECT_EQ(stopped.content, "a");
  EXPECT_EQ(stopped.done_reason, "stop");
  EXPECT_EQ(runner_->cancelled, std::vector<std::uint64_t>{runner_->stream->id(1)});
  EXPECT_EQ(next(*generation).answer, 0u);
  EXPECT_TRUE(generation->finished());
}

// Closed, it would be taken for a whole one.
TEST_F(GenerationTest, LeavesACallOpenThatTheBoundOfTokensCutsOff) {
  GenerationRequest request;
  request.prompt = "Hello";
  request.text.tools =
      nlohmann::ordered_json::parse(R"([{"name": "f", "parameters": {"properties": {
          "a": {"type": "string"}}}}])");
  request.text.call_layout = runner::CallLayout::arg_tags;
  request.answers = 2;
  request.sampling.seed = 40;
  const auto generation = Generation::start(*model_, std::move(request));
  ASSERT_TRUE(generation.ok());
  const std::string call = "<tool_call>f<arg_key>a</arg_key><arg_value>12";
  say(0, call, FinishReason::length);
  const Delta cut_off = next(**generation);
  EXPECT_EQ(cut_off.done_reason, "length");
  ASSERT_EQ(cut_off.tool_calls.size(), 1u);
  EXPECT_TRUE(cut_off.tool_calls[0].cut_off);
  EXPECT_EQ(cut_off.tool_calls[0].arguments, R"({"a":"12)");
  say(1, call, FinishReason::stop);
  const Delta ended = next(**generation);
  EXPECT_EQ(ended.done_reason, "tool_calls");
  ASSERT_EQ(ended.tool_calls.size(), 1u);
  EXPECT_FALSE(ended.tool_calls[0].cut_off);
  EXPECT_EQ(ended.tool_calls[0].arguments, R"({"a":"12"})");
}

TEST_F(GenerationTest, FailsAsAWholeAndCancelsTheRest) {
  {
    const auto generation = *ask("Hello", 2);
    runner::RequestEvent event;
    event.id = runner_->stream->id(1);
    event.finish = FinishReason::failed;
    event.code = Errc::device;
    event.message = "gone";
    (void)runner_->stream->push(std::move(event));
    EXPECT_EQ(generation->next({}).error().message, "gone");
  }
  EXPECT_EQ(runner_->cancelled, std::vector<std::uint64_t>{runner_->stream->id(0)});
  EXPECT_EQ(metrics_.model("m").finished[2], 1u);  // abort
  EXPECT_EQ(metrics_.model("m").finished[3], 1u);  // error
}

TEST_F(GenerationTest, RefusesAPromptThatDoesNotFitWithBothCounts) {
  std::string prompt;
  for (int i = 0; i < 1000; ++i) prompt += "word ";
  const auto generation = ask(prompt);
  ASSERT_FALSE(generation.ok());
  EXPECT_EQ(generation.error().code, Errc::context_length_exceeded);
  EXPECT_EQ(generation.error().message,
            fmt::format("the prompt has {} tokens, the context of m holds 1000 with at least one "
                        "for the answer; shorten the prompt or raise num_ctx",
                        ids(prompt).size()));
}

TEST_F(GenerationTest, AdvisesNoLargerContextThanTheModelHas) {
  std::string prompt;
  for (int i = 0; i < 5000; ++i) prompt += "word ";
  const std::int64_t largest = model_->text->facts().context_max;
  for (const std::int64_t context : {largest, largest - 1}) {
    runner_->set_context_max(context);
    const auto generation = ask(prompt);
    ASSERT_FALSE(generation.ok());
    const Error& error = generation.error();
    EXPECT_EQ(error.message.ends_with("; shorten the prompt"), context == largest) << error.message;
  }
}

TEST_F(GenerationTest, LetsTheModelEndItsAnswerUnlessToldNotTo) {
  (void)ask("Hello");
  EXPECT_FALSE(runner_->submitted[0].stop_ids.empty());
  GenerationRequest request;
  request.prompt = "Hello";
  request.ignore_eos = true;
  request.tokens_min = 7;
  request.priority = 2;
  (void)Generation::start(*model_, request);
  EXPECT_TRUE(runner_->submitted[0].stop_ids.empty());
  EXPECT_EQ(runner_->submitted[0].tokens_min, 7);
  EXPECT_EQ(runner_->submitted[0].priority, 2);
}

}  // namespace
}  // namespace glm::daemon
