// Which models are loaded, and for how long.
//
//            acquire                 first tokens generated
//   absent ──────────► loading ───────────────────────────► loaded ◄──► in use (leases)
//      ▲                  │ failed: every waiter gets the error   │ idle past its deadline,
//      stopped, │                  │                                       │ runner died, room is
//      needed └──────────────────┴──────────────────────────────────── ending
//
// Concurrent requests for a model that is loading wait for that one load; models are loaded one
// after the other. A model whose run options or files differ from what is asked, or one of whose
// files was damaged and is mended now, is replaced as soon as nobody uses it.
//
// When there is no room (a limit on their number, the host's free memory, or a runner that says it
// has not enough), idle models go, the one first whose last use is longest ago, and those that are
// kept for ever only when no other is left. One in use never goes; it gets no new requests while
// somebody waits for its place. No runner is started before those that end are gone.
// Nothing goes for a load that could not succeed without it either.
//
// A model that is stopped, and a daemon that stops, finish the answers they have begun within
// kDrainMax, and take no new ones.
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
#include "cmd/daemon/model_loader.h"
#include "cmd/daemon/restarts.h"
#include "store/manifest.h"

namespace glm::daemon {

struct LoadedModel {
  store::Manifest manifest;
  RunOptions options;
  std::shared_ptr<const TextModel> text;
  std::shared_ptr<Runner> runner;
  ModelMetrics& metrics;
  Clock::Steady loaded_at;
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

enum class ModelState { loading, ready, stopping, dead };
std::string_view name(ModelState state);

struct ModelInfo {
  store::Manifest manifest;
  ModelState state = ModelState::loading;
  // The rest of those that were loaded.
  std::string device;
  std::uint64_t memory_bytes = 0;  // that it holds, which may be less than it was promised
  std::int64_t context_max = 0;
  std::optional<Clock::Wall> expires_at;  // nullopt: never
  std::size_t requests = 0;
  runner::EngineStats stats;
  int runner_pid = 0;
};

struct ModelLimits {
  KeepAlive keep_alive = std::chrono::minutes(5);  // when a request says nothing
  std::size_t loaded_max = 0;                      // models at once; 0: as many as memory holds
};

class Models {
 public:
  static constexpr std::chrono::seconds kDrainMax{30};

  Models(ModelLoader& loader, Metrics& metrics, Clock& clock, ModelLimits limits);
  ~Models();

  // Loads nothing and lends nothing from now on; returns when the answers under way are finished,
  // or after kDrainMax.
  void drain();

  // Ends every runner, whatever it is doing, and refuses to load from now on.
  void stop();

  using Gone = std::function<bool()>;  // nobody waits any more; may be empty

  // Loads the model if it is not. `manifest` comes from the store. Errors: those of ModelLoader and
  // of the runner; Errc::unavailable when the model or the daemon is being stopped, or the model's
  // runner has died too often; Errc::cancelled when `gone`.
  Result<ModelLease> acquire(const store::Manifest& manifest, const RunOptions& options,
                             std::optional<KeepAlive> keep_alive, const Gone& gone);

  // Returns when the model is gone: its answers finished, or cut off after kDrainMax. A load is
  // given up. False when it was not here.
  bool unload(const std::string& name);

  // A file was damaged, and another has taken its place: models that were loaded from it are loaded
  // again for whoever asks next. Answers under way go on.
  void mended(const store::Digest& file);

  std::vector<ModelInfo> list() const;  // longest remaining first

 private:
  friend class ModelLease;
  // One load and what became of it, shared by those who wait for it.
  struct Attempt {
    RunOptions options;
    store::Digest manifest;
    std::optional<Error> error;
    bool stopped = false;  // by unload(): give up
  };
  struct Entry {
    store::Manifest manifest;
    std::shared_ptr<Attempt> attempt;
    std::shared_ptr<Runner> starting;    // while it loads
    std::shared_ptr<LoadedModel> model;  // null while loading and ending
    bool counts = false;                 // among the loaded: it has a place
    bool ending = false;
    bool stopping = false;  // by unload(): new requests are refused
    bool stale = false;     // by mended(): loaded from files that were damaged
    int claims = 0;         // who waits for its place; new requests wait meanwhile
    std::size_t leases = 0;
    KeepAlive keep_alive{};
    Clock::Steady idle_since;

    bool idle() const { return model && leases == 0; }
  };
  using Entries = std::map<std::string, Entry>;
  struct Turn {
    explicit Turn(Models& all) : models(all) {}
    ~Turn();
    Models& models;
    bool mine = false;
  };

  // All with the lock held. Those that wait, or end a process, give it back on the way.
  Status wait(MutexLock& lock, const Attempt* mine, const Gone& gone) GLM_REQUIRES(mutex_);
  void end(Entries::iterator it) GLM_REQUIRES(mutex_);
  void end_expired() GLM_REQUIRES(mutex_);
  Status get_place(MutexLock& lock, const std::string& name, const Gone& gone) GLM_REQUIRES(mutex_);
  Status check(const store::Manifest& manifest, const RunOptions& options) GLM_REQUIRES(mutex_);
  Status take_turn(MutexLock& lock, const std::string& name, const Gone& gone) GLM_REQUIRES(mutex_);
  Result<std::shared_ptr<Runner>> start_in_turn(const store::Manifest& manifest,
                                                const RunOptions& options) GLM_REQUIRES(mutex_);
  Result<bool> free_one(MutexLock& lock, const std::string& but, const Gone& gone)
      GLM_REQUIRES(mutex_);
  bool free_idle(const std::string& but, std::uint64_t bytes) GLM_REQUIRES(mutex_);
  bool others_have_memory(const std::string& but) const GLM_REQUIRES(mutex_);
  Entries::iterator victim(const std::string& but, bool idle) GLM_REQUIRES(mutex_);
  void drop_claim(const std::shared_ptr<LoadedModel>& model) GLM_REQUIRES(mutex_);
  bool expired(const Entry& entry, Clock::Steady now) const GLM_REQUIRES(mutex_);
  std::uint64_t promised_bytes() const GLM_REQUIRES(mutex_);
  bool runs_on_host(const RunOptions& options) const GLM_REQUIRES(mutex_);
  bool in_use() const GLM_REQUIRES(mutex_);
  bool some_end() const GLM_REQUIRES(mutex_);
  std::size_t places_taken() const GLM_REQUIRES(mutex_);

  Result<std::shared_ptr<LoadedModel>> load(const store::Manifest& manifest,
                                            const RunOptions& options, const Gone& gone);
  Result<std::shared_ptr<Runner>> start_with_room(const store::Manifest& manifest,
                                                  const RunOptions& options, const Gone& gone);
  void release(const std::shared_ptr<LoadedModel>& model);
  void sweep();

  ModelLoader& loader_;
  Metrics& metrics_;
  Clock& clock_;
  const ModelLimits limits_;

  mutable Mutex mutex_;
  std::condition_variable changed_;
  Entries entries_ GLM_GUARDED_BY(mutex_);  // by manifest name
  Restarts restarts_ GLM_GUARDED_BY(mutex_);
  bool turn_taken_ GLM_GUARDED_BY(mutex_) = false;  // somebody loads
  bool stopping_ GLM_GUARDED_BY(mutex_) = false;
  std::thread sweeper_;
};

}  // namespace glm::daemon
