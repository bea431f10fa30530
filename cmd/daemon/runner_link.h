// A Runner in a process of its own: the child, the socket to it and the requests it has.
//
// A runner that dies or hangs, for whatever reason, fails its requests with one clear error and
// leaves the daemon as it was; alive() is false from then on and the owner starts another.
//
// Thread safety: as Runner.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "base/fd.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/subprocess.h"
#include "cmd/daemon/runner.h"
#include "cmd/daemon/runner_watch.h"
#include "runner/frames.h"

namespace glm::daemon {

// When a runner counts as hung; how long a step may take it says itself.
struct RunnerLimits {
  std::chrono::milliseconds silence_max{30'000};
  std::chrono::milliseconds load_stall_max{600'000};
};

class RunnerLink final : public Runner {
 public:
  // What the engine told before and tells now; a runner that is gone has nothing running.
  using OnStats =
      std::function<void(const runner::EngineStats& before, const runner::EngineStats& now)>;

  // Starts `glm runner` and tells it what to load.
  static Result<std::shared_ptr<RunnerLink>> start(const runner::LoadFrame& load, OnStats on_stats);

  // Takes over a process that has the other end of `socket`.
  RunnerLink(Fd socket, Subprocess process, const RunnerLimits& limits, OnStats on_stats);
  ~RunnerLink() override;

  Status wait_until_ready() override;
  const runner::ReadyFrame& ready() const override { return ready_; }
  Result<std::shared_ptr<TokenStream>> submit(
      std::vector<runner::GenerateRequest> requests) override;
  void cancel(std::uint64_t id) override;
  bool alive() const override { return alive_.load(); }
  std::string death() const override;
  bool answered() const override { return answered_.load(); }
  runner::EngineStats stats() const override;
  std::uint64_t held_bytes() const override;
  int pid() const override { return process_.pid(); }
  void stop() override;
  void end() override;

 private:
  void read();
  Result<runner::Frame> receive();
  void dispatch(runner::RequestEvent event);
  void cancel_all(const TokenStream& stream);
  Status send(const runner::Frame& frame);
  void take_stats(const runner::EngineStats& stats);
  Error bury(const Error& why);
  void fail_all(const Error& error);

  const RunnerLimits limits_;
  const OnStats on_stats_;
  Fd socket_;
  Subprocess process_;
  Mutex process_mutex_;  // of whoever waits for the process
  RunnerWatch watch_;    // of the thread that reads
  runner::ReadyFrame ready_;
  std::atomic<bool> alive_ = true;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> answered_ = false;

  Mutex send_mutex_;  // one frame at a time on the socket
  mutable Mutex mutex_;
  std::uint64_t next_id_ GLM_GUARDED_BY(mutex_) = 1;
  std::map<std::uint64_t, std::shared_ptr<TokenStream>> streams_ GLM_GUARDED_BY(mutex_);
  runner::EngineStats stats_ GLM_GUARDED_BY(mutex_);
  std::string death_ GLM_GUARDED_BY(mutex_);
  Mutex end_mutex_;  // of whoever joins the reader
  std::thread reader_;
};

}  // namespace glm::daemon
