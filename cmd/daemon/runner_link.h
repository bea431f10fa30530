// The daemon's end of one runner: its child process, the socket to it and the requests it has.
//
// A runner that dies, for whatever reason, fails its requests with one clear error and leaves the
// daemon as it was; alive() is false from then on and the owner starts another.
//
// Thread safety: all members may be called from any thread.
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
#include "cmd/daemon/token_stream.h"
#include "runner/frames.h"

namespace glm::daemon {

class RunnerLink {
 public:
  using Progress = std::function<void(std::uint64_t done_bytes, std::uint64_t total_bytes)>;

  // Starts `glm runner` and tells it what to load.
  static Result<std::shared_ptr<RunnerLink>> start(const runner::LoadFrame& load);

  // Once, by the thread that started it: returns when the runner has generated its first tokens.
  // The runner's own error otherwise; Errc::device when it died, unavailable when stopped.
  Status wait_until_ready(const Progress& progress);

  // Kills the runner; requests it still had fail.
  ~RunnerLink();

  // After wait_until_ready().
  const runner::ReadyFrame& ready() const { return ready_; }
  bool alive() const { return alive_.load(); }
  int pid() const;

  // Ends the runner now; requests it still had fail as unavailable.
  void stop();

  // The id in `request` is set here. Errc::unavailable when the runner is gone.
  Result<std::shared_ptr<TokenStream>> submit(runner::GenerateRequest request);

  // The stream gets no more events that matter; harmless when it is finished.
  void cancel(const TokenStream& stream);

 private:
  RunnerLink(Fd socket, Subprocess process);

  void read();
  void dispatch(runner::RequestEvent event);
  Status send(const runner::Frame& frame);
  Error death();
  void fail_all(const Error& error);

  Fd socket_;
  Subprocess process_;
  runner::ReadyFrame ready_;
  std::atomic<bool> alive_ = true;
  std::atomic<bool> stopping_ = false;

  Mutex send_mutex_;  // one frame at a time on the socket
  Mutex mutex_;
  std::uint64_t next_id_ GLM_GUARDED_BY(mutex_) = 1;
  std::map<std::uint64_t, std::shared_ptr<TokenStream>> streams_ GLM_GUARDED_BY(mutex_);
  std::thread reader_;
};

}  // namespace glm::daemon
