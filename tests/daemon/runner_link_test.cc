// The link to a process that sleeps, while the test speaks in its place on the socket.
#include "cmd/daemon/runner_link.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <csignal>
#include <future>

namespace glm::daemon {
namespace {

using runner::FinishReason;
using std::chrono::milliseconds;
using std::chrono::seconds;

class RunnerLinkTest : public testing::Test {
 protected:
  void SetUp() override { open({}); }

  void open(const RunnerLimits& limits) {
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    theirs_ = Fd(fds[1]);
    SpawnOptions spawn;
    spawn.program = "/bin/sleep";
    spawn.arguments = {"1000"};
    Result<Subprocess> process = Subprocess::spawn(spawn);
    ASSERT_TRUE(process.ok()) << process.error().message;
    link_ = std::make_shared<RunnerLink>(
        Fd(fds[0]), *std::move(process), limits,
        [this](const runner::EngineStats& before, const runner::EngineStats& now) {
          told_.emplace_back(before, now);
        });
    pid_ = link_->pid();
  }

  void say(const runner::Frame& frame) {
    ASSERT_TRUE(runner::send_frame(theirs_.get(), frame).ok());
  }
  void make_ready(milliseconds step_max = seconds(600)) {
    runner::ReadyFrame ready;
    ready.step_ns_max = static_cast<std::uint64_t>(std::chrono::nanoseconds(step_max).count());
    say(ready);
    const Status done = link_->wait_until_ready();
    ASSERT_TRUE(done.ok()) << done.error().message;
  }
  std::shared_ptr<TokenStream> ask(std::size_t answers = 1) {
    auto stream = link_->submit(std::vector<runner::GenerateRequest>(answers));
    EXPECT_TRUE(stream.ok());
    return *std::move(stream);
  }
  static runner::RequestEvent event(std::uint64_t id, std::vector<std::int32_t> tokens,
                                    FinishReason finish = FinishReason::none) {
    runner::RequestEvent event;
    event.id = id;
    event.tokens = std::move(tokens);
    event.finish = finish;
    return event;
  }
  static runner::RequestEvent next(TokenStream& stream) {
    const auto event = stream.wait(seconds(10));
    EXPECT_TRUE(event.has_value());
    return event ? event->event : runner::RequestEvent{};
  }
  void expect_gone() {
    link_->end();
    EXPECT_FALSE(process_runs(pid_));
  }

  Fd theirs_;
  std::vector<std::pair<runner::EngineStats, runner::EngineStats>> told_;
  std::shared_ptr<RunnerLink> link_;
  pid_t pid_ = 0;
};

TEST_F(RunnerLinkTest, HandsEventsToTheAnswersTheyAreFor) {
  make_ready();
  const auto first = ask();
  const auto second = ask(2);
  EXPECT_EQ(second->id(0), first->id(0) + 1);
  EXPECT_EQ(second->answer(second->id(1)), 1u);
  say(runner::StepFrame{{event(second->id(1), {7}), event(first->id(0), {8})}});
  EXPECT_EQ(next(*second).tokens, std::vector<std::int32_t>{7});
  EXPECT_EQ(next(*first).tokens, std::vector<std::int32_t>{8});
  EXPECT_FALSE(link_->answered());
  say(runner::StepFrame{{event(first->id(0), {}, FinishReason::stop)}});
  EXPECT_EQ(next(*first).finish, FinishReason::stop);
  EXPECT_TRUE(link_->answered());
}

TEST_F(RunnerLinkTest, FailsAllRequestsOfARunnerThatIsKilled) {
  make_ready();
  const auto one = ask();
  const auto two = ask(2);
  ASSERT_EQ(::kill(pid_, SIGKILL), 0);
  theirs_ = Fd();
  for (TokenStream* stream : {one.get(), two.get(), two.get()}) {
    const runner::RequestEvent event = next(*stream);
    EXPECT_EQ(event.finish, FinishReason::failed);
    EXPECT_EQ(event.code, Errc::device);
    EXPECT_EQ(event.message,
              "the model's runner ended unexpectedly (killed by signal 9 (Killed)); the next "
              "request starts a new one");
  }
  EXPECT_FALSE(link_->alive());
  EXPECT_EQ(link_->death(), "killed by signal 9 (Killed)");
  EXPECT_EQ(link_->submit({{}}).error().code, Errc::unavailable);
  expect_gone();
}

TEST_F(RunnerLinkTest, GivesUpARunnerThatDoesNotRead) {
  open({.silence_max = milliseconds(200)});
  make_ready();
  const auto first = ask();
  runner::GenerateRequest large;
  large.prompt.assign(1 << 20, 7);
  Result<std::shared_ptr<TokenStream>> asked = link_->submit({large});
  for (int again = 0; asked.ok() && again < 100; ++again) asked = link_->submit({large});
  ASSERT_FALSE(asked.ok());
  EXPECT_EQ(asked.error().code, Errc::unavailable);
  EXPECT_EQ(next(*first).finish, FinishReason::failed);
  EXPECT_FALSE(link_->alive());
  expect_gone();
}

TEST_F(RunnerLinkTest, KillsARunnerThatBeatsAndCompletesNoStep) {
  make_ready(milliseconds(50));
  const auto stream = ask();
  const auto deadline = std::chrono::steady_clock::now() + seconds(10);
  while (link_->alive() && std::chrono::steady_clock::now() < deadline) {
    (void)runner::send_frame(theirs_.get(),
                             runner::BeatFrame{.progress = 3, .busy = true, .stats = {}});
    std::this_thread::sleep_for(milliseconds(5));
  }
  const runner::RequestEvent event = next(*stream);
  EXPECT_EQ(event.code, Errc::device);
  EXPECT_EQ(event.message,
            "the model's runner ended unexpectedly (it hung: no step was completed for 0 s while "
            "there was work); the next request starts a new one");
  expect_gone();
}

TEST_F(RunnerLinkTest, KillsARunnerOfWhichNothingIsHeard) {
  open({.silence_max = milliseconds(100), .load_stall_max = seconds(600)});
  make_ready();
  const auto stream = ask();
  EXPECT_EQ(next(*stream).message,
            "the model's runner ended unexpectedly (it hung: nothing was heard of it for 0.1 s); "
            "the next request starts a new one");
  expect_gone();
}

TEST_F(RunnerLinkTest, KillsARunnerThatIsSilentWhileItLoads) {
  open({.silence_max = milliseconds(100), .load_stall_max = seconds(600)});
  const Status ready = link_->wait_until_ready();
  EXPECT_EQ(ready.error().code, Errc::device);
  expect_gone();
}

TEST_F(RunnerLinkTest, PassesOnWhyALoadFailed) {
  say(runner::LoadProgressFrame{1, 2});
  say(runner::LoadFailedFrame{{Errc::exhausted, "out of memory"}});
  const Status ready = link_->wait_until_ready();
  EXPECT_EQ(ready.error().code, Errc::exhausted);
  EXPECT_EQ(ready.error().message, "out of memory");
  EXPECT_FALSE(link_->alive());
}

TEST_F(RunnerLinkTest, StopsALoadThatAnotherThreadWaitsFor) {
  auto load = std::async(std::launch::async, [&] {
    EXPECT_EQ(link_->wait_until_ready().error().message, "the load was stopped");
  });
  std::this_thread::sleep_for(milliseconds(20));
  link_->stop();
  load.get();
  expect_gone();
}

TEST_F(RunnerLinkTest, TellsWhatTheEngineKnowsAndThatADeadOneRunsNothing) {
  make_ready();
  say(runner::BeatFrame{
      .stats = {.running = 2, .pages_used = 5, .pages_total = 9, .prompt_tokens = 100}});
  say(runner::BeatFrame{
      .stats = {.running = 3, .pages_used = 6, .pages_total = 9, .prompt_tokens = 130}});
  theirs_ = Fd();
  link_->end();
  ASSERT_EQ(told_.size(), 3u);
  EXPECT_EQ(told_[1].first.prompt_tokens, 100u);
  EXPECT_EQ(told_[1].second.prompt_tokens, 130u);
  EXPECT_EQ(told_[2].second.running, 0u);
  EXPECT_EQ(told_[2].second.pages_used, 0);
  EXPECT_EQ(told_[2].second.prompt_tokens, 130u);
}

TEST_F(RunnerLinkTest, CancelsWhoReadsTooSlowly) {
  make_ready();
  const auto stream = ask();
  for (std::size_t i = 0; i <= TokenStream::kEventsMax; ++i) {
    say(runner::StepFrame{{event(stream->id(0), {1})}});
  }
  runner::Frame frame;
  do {
    frame = *runner::receive_frame(theirs_.get());
  } while (!std::holds_alternative<runner::CancelFrame>(frame));
  EXPECT_EQ(std::get<runner::CancelFrame>(frame).id, stream->id(0));
  for (std::size_t i = 0; i < TokenStream::kEventsMax; ++i) (void)next(*stream);
  EXPECT_EQ(next(*stream).message, "the client read too slowly");
}

TEST_F(RunnerLinkTest, HoldsOnTheHostWhatItHasTouched) {
  runner::ReadyFrame ready;
  ready.device = "cpu";
  ready.memory_bytes = std::uint64_t{1} << 40;
  say(ready);
  ASSERT_TRUE(link_->wait_until_ready().ok());
  EXPECT_GT(link_->held_bytes(), 0u);
  EXPECT_LT(link_->held_bytes(), std::uint64_t{1} << 30);  // it sleeps
}

}  // namespace
}  // namespace glm::daemon
