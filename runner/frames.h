// The frames between daemon and runner, over one stream socket pair.
//
//   frame   := length:u32 (of what follows, at most kFrameSizeMax) type:u8 payload
//   daemon → runner   load (once, first), generate, cancel
//   runner → daemon   load_progress*, then ready or load_failed; step (one per engine step that
//                     brought something); beat (every kBeatPeriod, from the beginning). One that
//                     was only to check says ready or load_failed and nothing else.
//
// The end of the stream ends the other side: a runner without its daemon exits, a daemon without
// its runner fails the requests it had. kProtocolVersion is in load and ready; both must agree.
// docs/runner_protocol.md has the bytes, and the rules by which a runner counts as hung.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "runner/schedule/request.h"

namespace glm::runner {

inline constexpr std::uint32_t kProtocolVersion = 5;
inline constexpr std::uint32_t kFrameSizeMax = 64u << 20;
inline constexpr std::chrono::milliseconds kBeatPeriod{500};

struct LoadFrame {
  std::uint32_t version = kProtocolVersion;
  std::vector<std::pair<std::string, std::string>> files;  // repository path, file on disk
  std::string device;                                      // "auto", "cpu", "cuda"
  std::int32_t threads = 0;                                // 0: as many as cores
  std::int64_t context_max = 0;                            // 0: the model's
  float latent_norm_eps = 0;                               // 0: the checkpoint's
  std::string kv_cache_type = "bf16";                      // or "fp8"
  bool only_check = false;  // whether it could be loaded; no weights are read
  // Of the host's free memory: what other models were promised and have not touched yet.
  std::uint64_t promised_bytes = 0;
  // The same model in other forms, name and bytes of weights, to be named if this one has no room.
  std::vector<std::pair<std::string, std::uint64_t>> alternatives;
};

struct GenerateFrame {
  GenerateRequest request;
};

struct CancelFrame {
  std::uint64_t id = 0;
};

struct LoadProgressFrame {
  std::uint64_t done_bytes = 0;
  std::uint64_t total_bytes = 0;
};

struct ReadyFrame {
  std::uint32_t version = kProtocolVersion;
  std::string device;  // "cpu", "cuda:0"
  std::string note;    // one line for the user about the choice; may be empty
  std::int64_t context_max = 0;
  std::uint64_t memory_bytes = 0;  // weights and cache pages, touched or not
  std::uint64_t load_ns = 0;
  std::uint64_t step_ns_max = 0;  // an engine that takes longer for a step hangs; 0: no such bound
};

struct LoadFailedFrame {
  Error error;
};

// Logarithms of probabilities before any sampling setting changed them.
struct TokenLogprob {
  std::int32_t id = 0;
  float logprob = 0;
};
struct TokenLogprobs {
  float chosen = 0;               // of the token itself
  std::vector<TokenLogprob> top;  // most likely first
};

// What one step brought for one request. Tokens arrive in order; finish is set exactly once.
struct RequestEvent {
  std::uint64_t id = 0;
  std::vector<std::int32_t> tokens;
  std::vector<TokenLogprobs> logprobs;  // one for each token, where they were asked for
  FinishReason finish = FinishReason::none;
  Errc code = Errc::internal;      // with finish == failed
  std::string message;             // likewise
  std::uint64_t prompt_ns = 0;     // with finish: time in prefill
  std::uint64_t eval_ns = 0;       // with finish: time from the first token to the last
  std::int64_t cached_tokens = 0;  // with the first token: of the prompt, found in the prefix cache
};

struct StepFrame {
  std::vector<RequestEvent> events;
};

// What the engine knows of itself. Counters start at 0 with the runner and only grow.
struct EngineStats {
  std::uint32_t running = 0;  // requests in the batch
  std::uint32_t waiting = 0;  // requests in the queue, those that were put back included
  std::int64_t pages_used = 0;
  std::int64_t pages_total = 0;
  std::uint64_t prompt_tokens = 0;     // of prompts that are worked off, each counted once
  std::uint64_t generated_tokens = 0;  // sampled, those that ended their answer included
  std::uint64_t prefix_queries = 0;    // prompt tokens looked up in the prefix cache
  std::uint64_t prefix_hits = 0;       // of these, found
  std::uint64_t preemptions = 0;       // sequences put back for want of a page
};

// A sign of life, and what there is to be known.
struct BeatFrame {
  std::uint64_t progress = 0;  // grows with every completed step, and with every piece loaded
  bool busy = false;           // there is work: a `progress` that stands still then means a hang
  EngineStats stats;
};

using Frame = std::variant<LoadFrame, GenerateFrame, CancelFrame, LoadProgressFrame, ReadyFrame,
                           LoadFailedFrame, StepFrame, BeatFrame>;

// With the length prefix, ready to be written.
std::string encode(const Frame& frame);

// Without the length prefix. Errc::corrupt when the bytes are no frame.
Result<Frame> decode(std::string_view bytes);

// Writes all of it. Errc::unavailable when the other side is gone. One writer at a time.
Status send_frame(int fd, const Frame& frame);

// Blocks for the next frame. Errc::unavailable at the end of the stream; Errc::cancelled when the
// socket has a time limit for reading (SO_RCVTIMEO) and nothing came within it.
Result<Frame> receive_frame(int fd);

}  // namespace glm::runner
