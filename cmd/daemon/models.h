// Which models are loaded, and for how long.
//
//            acquire                 first tokens generated
//   absent ──────────► loading ───────────────────────────► loaded ◄──► in use (leases)
//      ▲                  │ failed: every waiter gets the error   │ idle past its deadline,
//      stopped, └──────────────────┴───────────────────────────────────────┘ runner died
//
// Concurrent requests for a model that is loading wait for that one load. A model whose run options
// or files differ from what is asked is replaced as soon as nobody uses it.
//
// Thread safety: all members may be called from any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "cmd/daemon/runner_link.h"
#include "cmd/daemon/text_model.h"
#include "store/store.h"

namespace glm::daemon {

struct RunOptions {
  std::string device = "auto";         // "auto", "cpu", "cuda"
  std::int64_t context_max = 0;        // tokens; 0: the model's
  std::string kv_cache_type = "bf16";  // or "fp8"
  bool operator==(const RunOptions&) const = default;
};

struct LoadedModel {
  store::Manifest manifest;
  RunOptions options;
  TextModel text;
  std::shared_ptr<RunnerLink> link;
  std::uint64_t load_ns = 0;
};

class Models;

// A model in use; it is not unloaded meanwhile.
class ModelLease {
 public:
  ModelLease(Models& models, std::shared_ptr<LoadedModel> model);
  ModelLease(ModelLease&&) noexcept = default;
  ModelLease& operator=(ModelLease&&) = delete;
  ~ModelLease();

  LoadedModel& operator*() const { return *model_; }
  LoadedModel* operator->() const { return model_.get(); }

  // How long this request had to wait for the load; 0 when it was loaded.
  std::uint64_t load_ns = 0;

 private:
  Models* models_;
  std::shared_ptr<LoadedModel> model_;
};

// Milliseconds a model stays after its last request; negative: for ever.
using KeepAlive = std::chrono::milliseconds;

struct LoadedInfo {
  store::Manifest manifest;
  std::string device;
  std::uint64_t memory_bytes = 0;
  std::int64_t context_max = 0;
  std::optional<Clock::Wall> expires_at;  // nullopt: never
  std::size_t requests = 0;
  int runner_pid = 0;
};

class Models {
 public:
  Models(store::Store& store, Clock& clock, KeepAlive default_keep_alive);
  ~Models();

  // Ends every runner, whatever it is doing, and refuses to load from now on.
  void stop();

  // Loads the model if it is not. `manifest` comes from the store. Errors: those of TextModel::load
  // and of the runner; Errc::cancelled when `gone` says that nobody waits any more.
  Result<ModelLease> acquire(const store::Manifest& manifest, const RunOptions& options,
                             std::optional<KeepAlive> keep_alive,
                             const std::function<bool()>& gone);

  // Unloads now, or when the last request ends. False when it was not loaded.
  bool unload(const std::string& name);
  std::vector<LoadedInfo> list() const;  // longest remaining first

 private:
  friend class ModelLease;
  // One load and what became of it, shared by those who wait for it.
  struct Attempt {
    RunOptions options;
    store::Digest manifest;
    std::optional<Error> error;
  };
  struct Entry {
    std::shared_ptr<Attempt> attempt;
    std::shared_ptr<RunnerLink> loading;  // its runner, while it loads
    std::shared_ptr<LoadedModel> model;   // null while loading
    bool unwanted = false;                // somebody waits to replace it: no new leases
    std::size_t leases = 0;
    KeepAlive keep_alive{};
    Clock::Steady idle_since;
  };

  Result<std::shared_ptr<LoadedModel>> load(const store::Manifest& manifest,
                                            const RunOptions& options);
  Result<std::shared_ptr<RunnerLink>> start_runner(const std::string& name,
                                                   const runner::LoadFrame& frame);
  void release(const std::shared_ptr<LoadedModel>& model);
  bool expired(const Entry& entry, Clock::Steady now) const;
  void sweep(std::stop_token stop);

  store::Store& store_;
  Clock& clock_;
  const KeepAlive default_keep_alive_;

  mutable Mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Entry> entries_ GLM_GUARDED_BY(mutex_);  // by manifest name
  bool stopping_ GLM_GUARDED_BY(mutex_) = false;
  std::jthread sweeper_;
};

}  // namespace glm::daemon
