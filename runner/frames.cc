#include "runner/frames.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "runner/wire.h"

namespace glm::runner {
namespace {

void put(WireWriter& out, const SamplingOptions& s) {
  out.put(s.temperature);
  out.put(s.top_k);
  out.put(s.top_p);
  out.put(s.min_p);
  out.put(s.repeat_penalty);
  out.put(s.presence_penalty);
  out.put(s.frequency_penalty);
  out.put(s.repeat_last_n);
  out.put(static_cast<std::uint8_t>(s.seed.has_value()));
  out.put(s.seed.value_or(0));
  out.put(s.vocab_limit);
  out.put(static_cast<std::uint32_t>(s.logit_bias.size()));
  for (const TokenBias& bias : s.logit_bias) {
    out.put(bias.id);
    out.put(bias.bias);
  }
  out.put(s.logprobs);
}

SamplingOptions get_sampling(WireReader& in) {
  SamplingOptions s;
  s.temperature = in.get<decltype(s.temperature)>();
  s.top_k = in.get<decltype(s.top_k)>();
  s.top_p = in.get<decltype(s.top_p)>();
  s.min_p = in.get<decltype(s.min_p)>();
  s.repeat_penalty = in.get<decltype(s.repeat_penalty)>();
  s.presence_penalty = in.get<decltype(s.presence_penalty)>();
  s.frequency_penalty = in.get<decltype(s.frequency_penalty)>();
  s.repeat_last_n = in.get<decltype(s.repeat_last_n)>();
  const bool has_seed = in.get<std::uint8_t>() != 0;
  const auto seed = in.get<std::uint64_t>();
  if (has_seed) s.seed = seed;
  s.vocab_limit = in.get<decltype(s.vocab_limit)>();
  const auto biases = in.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < biases && !in.failed(); ++i) {
    const auto id = in.get<std::int32_t>();
    s.logit_bias.push_back({.id = id, .bias = in.get<float>()});
  }
  s.logprobs = in.get<decltype(s.logprobs)>();
  return s;
}

void put(WireWriter& out, const std::vector<TokenLogprobs>& logprobs) {
  out.put(static_cast<std::uint32_t>(logprobs.size()));
  for (const TokenLogprobs& token : logprobs) {
    out.put(token.chosen);
    out.put(static_cast<std::uint32_t>(token.top.size()));
    for (const TokenLogprob& other : token.top) {
      out.put(other.id);
      out.put(other.logprob);
    }
  }
}

std::vector<TokenLogprobs> get_logprobs(WireReader& in) {
  std::vector<TokenLogprobs> logprobs;
  const auto tokens = in.get<std::uint32_t>();
  for (std::uint32_t t = 0; t < tokens && !in.failed(); ++t) {
    TokenLogprobs token{.chosen = in.get<float>(), .top = {}};
    const auto count = in.get<std::uint32_t>();
    for (std::uint32_t i = 0; i < count && !in.failed(); ++i) {
      const auto id = in.get<std::int32_t>();
      token.top.push_back({.id = id, .logprob = in.get<float>()});
    }
    logprobs.push_back(std::move(token));
  }
  return logprobs;
}

// What is out of range comes from a runner gone mad: the error it cannot name is a bug.
Errc get_errc(WireReader& in) {
  const auto code = in.get<Errc>();
  return code >= Errc::invalid_argument && code <= Errc::internal ? code : Errc::internal;
}

FinishReason get_finish(WireReader& in) {
  const auto finish = in.get<FinishReason>();
  return finish <= FinishReason::failed ? finish : FinishReason::failed;
}

void put(WireWriter& out, const LoadFrame& frame) {
  out.put(frame.version);
  out.put(static_cast<std::uint32_t>(frame.files.size()));
  for (const auto& [path, file] : frame.files) {
    out.put(std::string_view(path));
    out.put(std::string_view(file));
  }
  out.put(std::string_view(frame.device));
  out.put(frame.threads);
  out.put(frame.context_max);
  out.put(frame.latent_norm_eps);
  out.put(std::string_view(frame.kv_cache_type));
  out.put(static_cast<std::uint8_t>(frame.only_check));
  out.put(frame.promised_bytes);
  out.put(static_cast<std::uint32_t>(frame.alternatives.size()));
  for (const auto& [name, weight_bytes] : frame.alternatives) {
    out.put(std::string_view(name));
    out.put(weight_bytes);
  }
}

LoadFrame get_load(WireReader& in) {
  LoadFrame frame;
  frame.version = in.get<std::uint32_t>();
  const auto count = in.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < count && !in.failed(); ++i) {
    std::string path = in.get_string();
    frame.files.emplace_back(std::move(path), in.get_string());
  }
  frame.device = in.get_string();
  frame.threads = in.get<std::int32_t>();
  frame.context_max = in.get<std::int64_t>();
  frame.latent_norm_eps = in.get<float>();
  frame.kv_cache_type = in.get_string();
  frame.only_check = in.get<std::uint8_t>() != 0;
  frame.promised_bytes = in.get<std::uint64_t>();
  const auto alternatives = in.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < alternatives && !in.failed(); ++i) {
    std::string name = in.get_string();
    frame.alternatives.emplace_back(std::move(name), in.get<std::uint64_t>());
  }
  return frame;
}

void put(WireWriter& out, const GenerateFrame& frame) {
  out.put(frame.request.id);
  out.put(frame.request.prompt);
  out.put(frame.request.tokens_max);
  out.put(frame.request.tokens_min);
  out.put(frame.request.stop_ids);
  out.put(frame.request.priority);
  put(out, frame.request.sampling);
}

GenerateFrame get_generate(WireReader& in) {
  GenerateFrame frame;
  frame.request.id = in.get<std::uint64_t>();
  frame.request.prompt = in.get_list<std::int32_t>();
  frame.request.tokens_max = in.get<std::int64_t>();
  frame.request.tokens_min = in.get<std::int64_t>();
  frame.request.stop_ids = in.get_list<std::int32_t>();
  frame.request.priority = in.get<std::int32_t>();
  frame.request.sampling = get_sampling(in);
  return frame;
}

void put(WireWriter& out, const CancelFrame& frame) {
  out.put(frame.id);
}

void put(WireWriter& out, const LoadProgressFrame& frame) {
  out.put(frame.done_bytes);
  out.put(frame.total_bytes);
}

void put(WireWriter& out, const ReadyFrame& frame) {
  out.put(frame.version);
  out.put(std::string_view(frame.device));
  out.put(std::string_view(frame.note));
  out.put(frame.context_max);
  out.put(frame.memory_bytes);
  out.put(frame.load_ns);
  out.put(frame.step_ns_max);
}

void put(WireWriter& out, const LoadFailedFrame& frame) {
  out.put(frame.error.code);
  out.put(std::string_view(frame.error.message));
}

void put(WireWriter& out, const StepFrame& frame) {
  out.put(static_cast<std::uint32_t>(frame.events.size()));
  for (const RequestEvent& event : frame.events) {
    out.put(event.id);
    out.put(event.tokens);
    put(out, event.logprobs);
    out.put(event.finish);
    out.put(event.code);
    out.put(std::string_view(event.message));
    out.put(event.prompt_ns);
    out.put(event.eval_ns);
    out.put(event.cached_tokens);
  }
}

StepFrame get_step(WireReader& in) {
  StepFrame frame;
  const auto count = in.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < count && !in.failed(); ++i) {
    RequestEvent event;
    event.id = in.get<std::uint64_t>();
    event.tokens = in.get_list<std::int32_t>();
    event.logprobs = get_logprobs(in);
    event.finish = get_finish(in);
    event.code = get_errc(in);
    event.message = in.get_string();
    event.prompt_ns = in.get<std::uint64_t>();
    event.eval_ns = in.get<std::uint64_t>();
    event.cached_tokens = in.get<std::int64_t>();
    frame.events.push_back(std::move(event));
  }
  return frame;
}

void put(WireWriter& out, const BeatFrame& frame) {
  out.put(frame.progress);
  out.put(static_cast<std::uint8_t>(frame.busy));
  out.put(frame.stats.running);
  out.put(frame.stats.waiting);
  out.put(frame.stats.pages_used);
  out.put(frame.stats.pages_total);
  out.put(frame.stats.prompt_tokens);
  out.put(frame.stats.generated_tokens);
  out.put(frame.stats.prefix_queries);
  out.put(frame.stats.prefix_hits);
  out.put(frame.stats.preemptions);
}

BeatFrame get_beat(WireReader& in) {
  BeatFrame frame;
  frame.progress = in.get<std::uint64_t>();
  frame.busy = in.get<std::uint8_t>() != 0;
  frame.stats.running = in.get<std::uint32_t>();
  frame.stats.waiting = in.get<std::uint32_t>();
  frame.stats.pages_used = in.get<std::int64_t>();
  frame.stats.pages_total = in.get<std::int64_t>();
  frame.stats.prompt_tokens = in.get<std::uint64_t>();
  frame.stats.generated_tokens = in.get<std::uint64_t>();
  frame.stats.prefix_queries = in.get<std::uint64_t>();
  frame.stats.prefix_hits = in.get<std::uint64_t>();
  frame.stats.preemptions = in.get<std::uint64_t>();
  return frame;
}

// The type is the index of the alternative in Frame.
Frame get_frame(std::uint8_t type, WireReader& in) {
  switch (type) {
    case 0:
      return get_load(in);
    case 1:
      return get_generate(in);
    case 2:
      return CancelFrame{in.get<std::uint64_t>()};
    case 3: {
      LoadProgressFrame frame;
      frame.done_bytes = in.get<std::uint64_t>();
      frame.total_bytes = in.get<std::uint64_t>();
      return frame;
    }
    case 4: {
      ReadyFrame frame;
      frame.version = in.get<std::uint32_t>();
      frame.device = in.get_string();
      frame.note = in.get_string();
      frame.context_max = in.get<std::int64_t>();
      frame.memory_bytes = in.get<std::uint64_t>();
      frame.load_ns = in.get<std::uint64_t>();
      frame.step_ns_max = in.get<std::uint64_t>();
      return frame;
    }
    case 5: {
      const Errc code = get_errc(in);
      return LoadFailedFrame{{code, in.get_string()}};
    }
    case 6:
      return get_step(in);
    default:
      return get_beat(in);
  }
}

Error gone() {
  return make_error(Errc::unavailable, "the other side of the runner's socket is gone");
}

Error silent() {
  return make_error(Errc::cancelled, "the other side of the runner's socket says nothing");
}

Status read_exactly(int fd, char* bytes, std::size_t size_bytes) {
  while (size_bytes > 0) {
    const ssize_t got = ::recv(fd, bytes, size_bytes, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return silent();
    if (got <= 0) return gone();
    bytes += got;
    size_bytes -= static_cast<std::size_t>(got);
  }
  return Ok{};
}

}  // namespace

std::string encode(const Frame& frame) {
  WireWriter body;
  body.put(static_cast<std::uint8_t>(frame.index()));
  std::visit([&](const auto& alternative) { put(body, alternative); }, frame);
  const std::string payload = std::move(body).take();
  WireWriter whole;
  whole.put(std::string_view(payload));
  return std::move(whole).take();
}

Result<Frame> decode(std::string_view bytes) {
  WireReader in(bytes);
  const auto type = in.get<std::uint8_t>();
  if (type >= std::variant_size_v<Frame>) {
    return make_error(Errc::corrupt, "frame of unknown type {}", type);
  }
  Frame frame = get_frame(type, in);
  if (!in.complete()) {
    return make_error(Errc::corrupt, "frame of type {} with {} bytes does not parse", type,
                      bytes.size());
  }
  return frame;
}

Status send_frame(int fd, const Frame& frame) {
  const std::string bytes = encode(frame);
  if (bytes.size() > kFrameSizeMax) {
    return make_error(Errc::exhausted, "a frame of {} bytes is more than the {} that one may have",
                      bytes.size(), kFrameSizeMax);
  }
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t n = ::send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return gone();
    sent += static_cast<std::size_t>(n);
  }
  return Ok{};
}

Result<Frame> receive_frame(int fd) {
  std::uint32_t size_bytes = 0;
  GLM_TRY(read_exactly(fd, reinterpret_cast<char*>(&size_bytes), sizeof size_bytes));
  if (size_bytes == 0 || size_bytes > kFrameSizeMax) {
    return make_error(Errc::corrupt, "frame of {} bytes, at most {} are accepted", size_bytes,
                      kFrameSizeMax);
  }
  std::string bytes(size_bytes, '\0');
  GLM_TRY(read_exactly(fd, bytes.data(), bytes.size()));
  return decode(bytes);
}

}  // namespace glm::runner
