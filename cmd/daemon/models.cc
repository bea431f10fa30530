#include "cmd/daemon/models.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "modelfiles/catalog_sizes.h"

namespace glm::daemon {
namespace {

constexpr std::chrono::milliseconds kSweepPeriod{500};
constexpr std::chrono::milliseconds kWaitPeriod{200};
constexpr KeepAlive kKeepAliveMax = std::chrono::hours(24 * 365);  // longer is for ever

std::uint64_t ns_since(Clock& clock, Clock::Steady begun) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(clock.now() - begun).count());
}

}  // namespace

ModelLease::ModelLease(Models& models, std::shared_ptr<LoadedModel> model)
    : models_(&models), model_(std::move(model)) {}

ModelLease::~ModelLease() {
  if (model_) models_->release(model_);
}

Models::Models(store::Store& store, Clock& clock, KeepAlive default_keep_alive)
    : store_(store),
      clock_(clock),
      default_keep_alive_(default_keep_alive > kKeepAliveMax ? KeepAlive(-1) : default_keep_alive),
      sweeper_([this](std::stop_token stop) { sweep(std::move(stop)); }) {}

Models::~Models() {
  sweeper_.request_stop();
  sweeper_.join();
  stop();
}

Result<ModelLease> Models::acquire(const store::Manifest& manifest, const RunOptions& options,
                                   std::optional<KeepAlive> keep_alive,
                                   const std::function<bool()>& gone) {
  if (keep_alive && *keep_alive > kKeepAliveMax) keep_alive = KeepAlive(-1);
  const Clock::Steady begun = clock_.now();
  const store::Digest digest = manifest.digest();
  bool waited = false;
  std::shared_ptr<LoadedModel> replaced;  // destroyed after the lock is given back
  MutexLock lock(mutex_);
  while (true) {
    if (stopping_) return make_error(Errc::unavailable, "the daemon is stopping");
    const auto it = entries_.find(manifest.name);
    if (it == entries_.end()) break;
    Entry& entry = it->second;
    const bool alive = entry.model && entry.model->link->alive();
    const bool fits = alive && entry.model->options == options &&
                      entry.model->manifest.digest() == digest;
    if (fits && !entry.unwanted) {
      ++entry.leases;
      if (keep_alive) entry.keep_alive = *keep_alive;
      ModelLease lease(*this, entry.model);
      lease.load_ns = waited ? ns_since(clock_, begun) : 0;
      return lease;
    }
    if (entry.model && (entry.leases == 0 || !alive)) {
      replaced = std::move(entry.model);
      entries_.erase(it);
      break;
    }
    // For its load, or for its users to finish.
    waited = true;
    if (alive && !fits) entry.unwanted = true;
    const std::shared_ptr<Attempt> attempt = entry.attempt;
    (void)lock.wait_until(changed_, std::chrono::steady_clock::now() + kWaitPeriod);
    if (attempt->error && attempt->options == options && attempt->manifest == digest) {
      return *attempt->error;
    }
    lock.unlock();
    const bool nobody_waits = gone && gone();
    lock.lock();
    if (nobody_waits) return make_error(Errc::cancelled, "the client closed its connection");
  }
  const auto attempt = std::make_shared<Attempt>(Attempt{options, digest, std::nullopt});
  Entry& entry = entries_[manifest.name];
  entry.attempt = attempt;
  entry.keep_alive = keep_alive.value_or(default_keep_alive_);
  lock.unlock();
  replaced.reset();
  Result<std::shared_ptr<LoadedModel>> model = load(manifest, options);
  lock.lock();
  changed_.notify_all();
  if (model.ok() && stopping_) model = make_error(Errc::unavailable, "the daemon is stopping");
  if (!model.ok()) {
    entries_.erase(manifest.name);
    attempt->error = std::move(model).error().with("load " + manifest.name);
    return *attempt->error;
  }
  Entry& loaded = entries_[manifest.name];
  loaded.loading.reset();
  loaded.model = *model;
  loaded.leases = 1;
  ModelLease lease(*this, *std::move(model));
  lease.load_ns = ns_since(clock_, begun);
  return lease;
}

// What it throws (no memory, no threads) must not leave an entry that loads for ever.
Result<std::shared_ptr<LoadedModel>> Models::load(const store::Manifest& manifest,
                                                  const RunOptions& options) try {
  const Clock::Steady begun = clock_.now();
  runner::CheckpointFiles files;
  runner::LoadFrame frame;
  for (const store::ManifestFile& file : manifest.files) {
    std::filesystem::path path = GLM_TRY(store_.blobs().path(file.digest).with(file.path));
    frame.files.emplace_back(file.path, path.string());
    files.emplace(file.path, std::move(path));
  }
  frame.device = options.device;
  frame.context_max = options.context_max;
  for (const modelfiles::CatalogSize& form : modelfiles::other_forms(manifest.source)) {
    frame.alternatives.emplace_back(form.name, form.weight_bytes);
  }
  TextModel text = GLM_TRY(TextModel::load(files, manifest.modelfile));
  Result<std::shared_ptr<RunnerLink>> started = start_runner(manifest.name, frame);
  if (!started.ok()) return with_repair_hint(std::move(started).error());
  std::shared_ptr<RunnerLink> link = *std::move(started);
  spdlog::info("loaded model={} device=\"{}\" pid={} note=\"{}\"", manifest.name,
               link->ready().device, link->pid(), link->ready().note);
  const std::uint64_t load_ns = ns_since(clock_, begun);
  return std::make_shared<LoadedModel>(
      LoadedModel{manifest, options, std::move(text), std::move(link), load_ns});
} catch (const std::exception& failure) {
  return make_error(Errc::internal, "load {}: {}", manifest.name, failure.what());
}

// The entry knows its runner from the beginning, so that stop() reaches a load, too.
Result<std::shared_ptr<RunnerLink>> Models::start_runner(const std::string& name,
                                                         const runner::LoadFrame& frame) {
  std::shared_ptr<RunnerLink> link = GLM_TRY(RunnerLink::start(frame));
  {
    MutexLock lock(mutex_);
    if (stopping_) return make_error(Errc::unavailable, "the daemon is stopping");
    entries_[name].loading = link;
  }
  GLM_TRY(link->wait_until_ready({}));
  if (link->ready().version != runner::kProtocolVersion) {
    return make_error(Errc::internal, "the runner speaks version {} of the protocol, not {}",
                      link->ready().version, runner::kProtocolVersion);
  }
  return link;
}

void Models::release(const std::shared_ptr<LoadedModel>& model) {
  std::shared_ptr<LoadedModel> ended;  // destroyed outside the lock
  {
    MutexLock lock(mutex_);
    const auto it = entries_.find(model->manifest.name);
    if (it != entries_.end() && it->second.model == model) {
      Entry& entry = it->second;
      --entry.leases;
      entry.idle_since = clock_.now();
      if (expired(entry, entry.idle_since)) {
        ended = std::move(entry.model);
        entries_.erase(it);
      }
    }
    changed_.notify_all();
  }
}

bool Models::expired(const Entry& entry, Clock::Steady now) const {
  if (!entry.model || entry.leases > 0) return false;
  if (!entry.model->link->alive()) return true;
  return entry.keep_alive.count() >= 0 && now - entry.idle_since >= entry.keep_alive;
}

bool Models::unload(const std::string& name) {
  std::shared_ptr<LoadedModel> ended;
  MutexLock lock(mutex_);
  const auto it = entries_.find(name);
  if (it == entries_.end()) return false;
  it->second.keep_alive = KeepAlive(0);
  if (expired(it->second, clock_.now())) {
    ended = std::move(it->second.model);
    entries_.erase(it);
    changed_.notify_all();
  }
  lock.unlock();
  ended.reset();
  lock.lock();
  return true;
}

void Models::stop() {
  MutexLock lock(mutex_);
  stopping_ = true;
  for (const auto& [name, entry] : entries_) {
    if (entry.model) entry.model->link->stop();
    if (entry.loading) entry.loading->stop();
  }
  changed_.notify_all();
}

std::vector<LoadedInfo> Models::list() const {
  std::vector<LoadedInfo> infos;
  MutexLock lock(mutex_);
  const Clock::Steady now = clock_.now();
  for (const auto& [name, entry] : entries_) {
    if (!entry.model) continue;
    const runner::ReadyFrame& ready = entry.model->link->ready();
    LoadedInfo info;
    info.manifest = entry.model->manifest;
    info.device = ready.device;
    info.memory_bytes = ready.memory_bytes;
    info.context_max = ready.context_max;
    info.requests = entry.leases;
    info.runner_pid = entry.model->link->pid();
    if (entry.keep_alive.count() >= 0) {
      const auto idle = entry.leases > 0 ? Clock::Steady::duration::zero() : now - entry.idle_since;
      info.expires_at = clock_.wall() + std::chrono::duration_cast<Clock::Wall::duration>(
                                            entry.keep_alive - idle);
    }
    infos.push_back(std::move(info));
  }
  std::stable_sort(infos.begin(), infos.end(), [](const LoadedInfo& a, const LoadedInfo& b) {
    if (!a.expires_at || !b.expires_at) return !a.expires_at && b.expires_at;
    return *a.expires_at > *b.expires_at;
  });
  return infos;
}

void Models::sweep(std::stop_token stop) {
  while (!stop.stop_requested()) {
    std::vector<std::shared_ptr<LoadedModel>> ended;
    {
      MutexLock lock(mutex_);
      const Clock::Steady now = clock_.now();
      for (auto it = entries_.begin(); it != entries_.end();) {
        if (expired(it->second, now)) {
          spdlog::info("unloaded model={}", it->first);
          ended.push_back(std::move(it->second.model));
          it = entries_.erase(it);
        } else {
          ++it;
        }
      }
      if (!ended.empty()) changed_.notify_all();
    }
    ended.clear();
    std::this_thread::sleep_for(kSweepPeriod);
  }
}

}  // namespace glm::daemon
