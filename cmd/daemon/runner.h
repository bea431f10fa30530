// One model's runner as the rest of the daemon sees it: where requests go and tokens come from.
// RunnerLink is the one with a process behind it; tests have others.
//
// Thread safety: all members may be called from any thread, unless they say otherwise.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cmd/daemon/token_stream.h"
#include "runner/frames.h"

namespace glm::daemon {

class Runner {
 public:
  virtual ~Runner() = default;

  // Once, by the thread that started it: returns when the runner has generated its first tokens.
  // The runner's own error otherwise; Errc::device when it died or hung, unavailable when stopped.
  virtual Status wait_until_ready() = 0;

  // The rest is for after that.
  virtual const runner::ReadyFrame& ready() const = 0;

  // The requests are the answers to one question: their events come in one stream, and their ids
  // are set here, one after the other. Errc::unavailable when the runner is gone.
  virtual Result<std::shared_ptr<TokenStream>> submit(
      std::vector<runner::GenerateRequest> requests) = 0;

  // The stream gets no more events of that id that matter; harmless when it is finished.
  virtual void cancel(std::uint64_t id) = 0;

  // False from the moment it died, hung or was stopped; then death() says why.
  virtual bool alive() const = 0;
  virtual std::string death() const = 0;

  // Whether an answer was finished: one that never got so far has not shown that it works.
  virtual bool answered() const = 0;
  virtual runner::EngineStats stats() const = 0;

  // What it has taken so far: of ready().memory_bytes the host gives a page when it is touched.
  virtual std::uint64_t held_bytes() const = 0;
  virtual int pid() const = 0;

  // Kills it; requests it still had fail as unavailable. Also while it loads.
  virtual void stop() = 0;

  // stop(), and returns when the process is gone and with it the memory it had. Not while another
  // thread is in wait_until_ready().
  virtual void end() = 0;
};

}  // namespace glm::daemon
