// Pulls that are under way. Clients that ask for the same model watch one download; it is
// cancelled when nobody watches any more, and what has arrived waits for the next time.
//
// Thread safety: all members may be called from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "cmd/daemon/remote_model.h"
#include "modelfiles/catalog.h"
#include "registry/pull.h"
#include "registry/retry.h"
#include "store/store.h"

namespace glm::daemon {

// A file in the store was damaged and is right again.
using OnMended = std::function<void(const store::Digest& file)>;

class PullJob {
 public:
  PullJob(store::Store& store, std::unique_ptr<registry::Source> source,
          registry::PullRequest request, OnMended on_mended);
  ~PullJob();  // cancels and waits

  // What has changed since `seen` (which is moved on), blocking up to time_max for something.
  std::vector<registry::PullProgress> wait(std::uint64_t& seen, std::chrono::milliseconds time_max);

  void cancel() { thread_.request_stop(); }

  // Set when it is over.
  std::optional<Status> outcome() const;

 private:
  struct Line {
    registry::PullProgress progress;
    std::uint64_t version = 0;
  };

  void run(std::stop_token stop);
  Result<store::Manifest> pull(std::stop_token stop);
  void report(const registry::PullProgress& progress);

  store::Store& store_;
  std::unique_ptr<registry::Source> source_;
  const registry::PullRequest request_;
  const OnMended on_mended_;
  mutable Mutex mutex_;
  std::condition_variable changed_;
  std::vector<Line> lines_ GLM_GUARDED_BY(mutex_);  // one per status and digest
  std::uint64_t version_ GLM_GUARDED_BY(mutex_) = 0;
  std::optional<Status> outcome_ GLM_GUARDED_BY(mutex_);
  std::atomic<bool> left_ = false;  // by everybody who waited
  std::jthread thread_;
};

class Pulls {
 public:
  // `bundles` is the folder of the models that ship with the program.
  Pulls(store::Store& store, const modelfiles::Catalog& catalog, std::filesystem::path bundles,
        OnMended on_mended);

  // Starts the pull of a model by its name, or joins the one under way. The pull lasts as long as
  // somebody holds the job. Errc::invalid_argument for a name that cannot be, not_found for a
  // short name that neither the catalog (the message lists what it has) nor the store has.
  Result<std::shared_ptr<PullJob>> join(const std::string& name);

  // What a pull of this name would bring, without pulling it. Ends early when `gone` says that
  // nobody waits any more. Errors as join() and look_at(), Errc::exhausted when many look already.
  Result<RemoteModel> look(const std::string& name, const std::function<bool()>& gone);

  // Cancels all and starts no more; what has arrived stays for the next time.
  void stop();

 private:
  Result<registry::PullRequest> plan(const std::string& name) const;
  Result<std::unique_ptr<registry::Source>> source_for(const registry::PullRequest& request,
                                                       const registry::RetryPolicy& retry) const;

  store::Store& store_;
  const modelfiles::Catalog& catalog_;
  const std::filesystem::path bundles_;
  const OnMended on_mended_;
  Mutex mutex_;
  std::map<std::string, std::weak_ptr<PullJob>> jobs_ GLM_GUARDED_BY(mutex_);
  bool stopping_ GLM_GUARDED_BY(mutex_) = false;
  std::stop_source stop_;  // of looks
  std::atomic<int> looks_ = 0;
};

}  // namespace glm::daemon
