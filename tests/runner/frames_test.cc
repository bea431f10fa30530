// Frames are encoded with random content, decoded, and encoded again: equal bytes mean that no
// field was lost. Cut and altered bytes must be refused, never read past.
#include "runner/frames.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <random>
#include <thread>

#include "base/fd.h"

namespace glm::runner {
namespace {

class Frames : public testing::Test {
 protected:
  Frames() { std::printf("seed %u\n", seed_); }

  std::uint64_t number() { return random_(); }
  std::string text() {
    std::string out(number() % 40, '\0');
    for (char& c : out) c = static_cast<char>(number());
    return out;
  }
  std::vector<std::int32_t> ids() {
    std::vector<std::int32_t> out(number() % 50);
    for (std::int32_t& id : out) id = static_cast<std::int32_t>(number());
    return out;
  }

  std::vector<Frame> samples() {
    LoadFrame load{.version = kProtocolVersion,
                   .files = {{text(), text()}, {text(), text()}},
                   .device = text(),
                   .threads = 3,
                   .context_max = 4096,
                   .latent_norm_eps = 1e-6F,
                   .kv_cache_type = text(),
                   .only_check = true,
                   .promised_bytes = number(),
                   .alternatives = {{text(), number()}, {text(), number()}}};
    GenerateFrame generate;
    generate.request.id = number();
    generate.request.prompt = ids();
    generate.request.tokens_max = 77;
    generate.request.tokens_min = 7;
    generate.request.stop_ids = ids();
    generate.request.priority = -3;
    generate.request.sampling.temperature = 0.25F;
    generate.request.sampling.seed = number();
    generate.request.sampling.vocab_limit = 300;
    generate.request.sampling.logit_bias = {{.id = 3, .bias = -1.5F}, {.id = 9, .bias = 2}};
    generate.request.sampling.logprobs = 4;
    RequestEvent event{.id = number(),
                       .tokens = ids(),
                       .logprobs = {{.chosen = -1, .top = {{.id = 4, .logprob = -0.5F}}}, {}},
                       .finish = FinishReason::failed,
                       .code = Errc::device,
                       .message = text(),
                       .prompt_ns = number(),
                       .eval_ns = number(),
                       .cached_tokens = 64};
    ReadyFrame ready{.device = text(),
                     .note = text(),
                     .context_max = 9,
                     .memory_bytes = 10,
                     .load_ns = 11,
                     .step_ns_max = number()};
    const BeatFrame beat{.progress = number(),
                         .busy = true,
                         .stats = {.running = 64,
                                   .waiting = 3,
                                   .pages_used = 1000,
                                   .pages_total = 4096,
                                   .prompt_tokens = number(),
                                   .generated_tokens = number(),
                                   .prefix_queries = number(),
                                   .prefix_hits = number(),
                                   .preemptions = number()}};
    return {load,
            generate,
            CancelFrame{number()},
            LoadProgressFrame{number(), number()},
            ready,
            LoadFailedFrame{{Errc::corrupt, text()}},
            StepFrame{{event, RequestEvent{}}},
            beat};
  }

  const unsigned seed_ = std::random_device{}();
  std::mt19937_64 random_{seed_};
};

TEST_F(Frames, SurviveARoundTrip) {
  for (const Frame& frame : samples()) {
    const std::string bytes = encode(frame);
    const Result<Frame> again = decode(std::string_view(bytes).substr(4));
    ASSERT_TRUE(again.ok()) << "type " << frame.index();
    EXPECT_EQ(again->index(), frame.index());
    EXPECT_EQ(encode(*again), bytes) << "type " << frame.index();
  }
}

TEST_F(Frames, AreRefusedWhenCutAnywhere) {
  for (const Frame& frame : samples()) {
    const std::string bytes = encode(frame).substr(4);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      const Result<Frame> cut = decode(std::string_view(bytes).substr(0, size));
      if (size == 0) continue;  // no type byte reads as type 0, which then lacks its fields
      EXPECT_FALSE(cut.ok()) << "type " << frame.index() << " cut to " << size;
    }
    EXPECT_FALSE(decode(bytes + "x").ok());
  }
  EXPECT_FALSE(decode("").ok());
  EXPECT_EQ(decode("\x63").error().message, "frame of unknown type 99");
}

TEST_F(Frames, CrossASocketInPieces) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  Fd ours(fds[0]);
  const Fd theirs(fds[1]);
  GenerateFrame large;
  large.request.prompt.assign(1'000'000, 42);  // larger than any socket buffer
  std::thread sender([&] {
    EXPECT_TRUE(send_frame(ours.get(), large).ok());
    EXPECT_TRUE(send_frame(ours.get(), CancelFrame{7}).ok());
    ours = Fd();
  });
  const Result<Frame> first = receive_frame(theirs.get());
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(std::get<GenerateFrame>(*first).request.prompt.size(), 1'000'000u);
  const Result<Frame> second = receive_frame(theirs.get());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(std::get<CancelFrame>(*second).id, 7u);
  EXPECT_EQ(receive_frame(theirs.get()).error().code, Errc::unavailable);
  sender.join();
}

TEST_F(Frames, OfASilentOtherSideAreNotWaitedForWithoutEnd) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  const Fd ours(fds[0]);
  const Fd theirs(fds[1]);
  const timeval limit{.tv_sec = 0, .tv_usec = 10'000};
  ASSERT_EQ(::setsockopt(theirs.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
  EXPECT_EQ(receive_frame(theirs.get()).error().code, Errc::cancelled);
  const std::string bytes = encode(CancelFrame{7});
  ASSERT_EQ(::send(ours.get(), bytes.data(), 6, 0), 6);  // and stops in the middle
  EXPECT_EQ(receive_frame(theirs.get()).error().code, Errc::cancelled);
}

TEST_F(Frames, DoNotAllocateWhatALengthClaims) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  const Fd ours(fds[0]);
  const Fd theirs(fds[1]);
  const std::uint32_t claim = 0xFFFFFFFF;
  ASSERT_EQ(::send(ours.get(), &claim, sizeof claim, 0), static_cast<ssize_t>(sizeof claim));
  const Result<Frame> frame = receive_frame(theirs.get());
  ASSERT_FALSE(frame.ok());
  EXPECT_EQ(frame.error().message, "frame of 4294967295 bytes, at most 67108864 are accepted");
}

}  // namespace
}  // namespace glm::runner
