#include "cmd/daemon/models.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <utility>

namespace glm::daemon {
namespace {

constexpr std::chrono::milliseconds kSweepPeriod{500};
constexpr std::chrono::milliseconds kWaitPeriod{200};
constexpr KeepAlive kKeepAliveMax = std::chrono::hours(24 * 365);  // longer is for ever

std::uint64_t ns_since(Clock& clock, Clock::Steady begun) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(clock.now() - begun).count());
}

KeepAlive bounded(KeepAlive asked) {
  return asked > kKeepAliveMax ? KeepAlive(-1) : asked;
}

Error daemon_stops() {
  return make_error(Errc::unavailable, "the daemon is stopping");
}

}  // namespace

std::string_view name(ModelState state) {
  constexpr std::array<std::string_view, 4> kNames = {"loading", "ready", "stopping", "dead"};
  return kNames[static_cast<std::size_t>(state)];
}

ModelLease::ModelLease(Models& models, std::shared_ptr<LoadedModel> model)
    : models_(&models), model_(std::move(model)) {}

ModelLease::~ModelLease() {
  if (model_) models_->release(model_);
}

Models::Models(ModelLoader& loader, Metrics& metrics, Clock& clock, ModelLimits limits)
    : loader_(loader),
      metrics_(metrics),
      clock_(clock),
      limits_{bounded(limits.keep_alive), limits.loaded_max},
      sweeper_([this] { sweep(); }) {}

Models::~Models() {
  stop();
  sweeper_.join();
  MutexLock lock(mutex_);
  while (!entries_.empty()) end(entries_.begin());
}

Result<ModelLease> Models::acquire(const store::Manifest& manifest, const RunOptions& options,
                                   std::optional<KeepAlive> keep_alive, const Gone& gone) {
  if (keep_alive) keep_alive = bounded(*keep_alive);
  const Clock::Steady begun = clock_.now();
  const store::Digest digest = manifest.digest();
  bool waited = false;
  bool checked = false;
  MutexLock lock(mutex_);
  while (true) {
    if (stopping_) return daemon_stops();
    const auto it = entries_.find(manifest.name);
    if (it == entries_.end()) break;
    Entry& entry = it->second;
    const bool alive = entry.model && entry.model->runner->alive();
    const bool fits = alive && !entry.stale && entry.model->options == options &&
                      entry.model->manifest.digest() == digest;
    if (alive && entry.stopping) {
      return make_error(Errc::unavailable, "{} is being stopped; try again when it is gone",
                        manifest.name);
    }
    if (fits && entry.claims == 0) {
      ++entry.leases;
      if (keep_alive) entry.keep_alive = *keep_alive;
      ModelLease lease(*this, entry.model);
      lease.load_ns = waited ? ns_since(clock_, begun) : 0;
      return lease;
    }
    if (alive && !fits && !std::exchange(checked, true)) {
      Status possible = check(manifest, options);
      if (possible.ok()) continue;
      return with_repair_hint(std::move(possible).error(), manifest.name)
          .with("load " + manifest.name);
    }
    if (entry.model && (!alive || (!fits && entry.leases == 0))) {
      end(it);
      continue;
    }
    // For its load or its end, or for its users to finish.
    waited = true;
    const std::shared_ptr<Attempt> attempt = entry.attempt;
    const std::shared_ptr<LoadedModel> unfit = alive && !fits ? entry.model : nullptr;
    if (unfit) ++entry.claims;
    const Status go_on = wait(lock, nullptr, gone);
    drop_claim(unfit);
    GLM_TRY(go_on);
    const bool same = attempt->options == options && attempt->manifest == digest;
    // Whoever loaded for a client that left has given up for itself only.
    if (same && attempt->error && attempt->error->code != Errc::cancelled) return *attempt->error;
  }
  GLM_TRY(restarts_.check(manifest.name, clock_.now()));
  const auto attempt = std::make_shared<Attempt>(Attempt{options, digest, std::nullopt});
  Entry& entry = entries_[manifest.name];
  entry.manifest = manifest;
  entry.attempt = attempt;
  entry.keep_alive = keep_alive.value_or(limits_.keep_alive);
  lock.unlock();
  Result<std::shared_ptr<LoadedModel>> model = load(manifest, options, gone);
  lock.lock();
  changed_.notify_all();
  Entry& loaded = entries_[manifest.name];  // only who loads it takes a loading entry away
  loaded.starting.reset();
  if (!model.ok()) {
    entries_.erase(manifest.name);
    attempt->error = std::move(model).error().with("load " + manifest.name);
    return *attempt->error;
  }
  loaded.model = *model;
  loaded.leases = 1;
  ModelLease lease(*this, *std::move(model));
  lease.load_ns = ns_since(clock_, begun);
  // Stopped in its last moment: the lease ends what it lends.
  if (!stopping_ && !attempt->stopped) return lease;
  loaded.stopping = true;
  attempt->error = stopping_
                       ? daemon_stops()
                       : make_error(Errc::unavailable, "load {}: it was stopped", manifest.name);
  lock.unlock();
  return *attempt->error;
}

// Until something changed, or some time. An error when it makes no sense any more.
Status Models::wait(MutexLock& lock, const Attempt* mine, const Gone& gone) {
  (void)lock.wait_until(changed_, std::chrono::steady_clock::now() + kWaitPeriod);
  if (stopping_) return daemon_stops();
  if (mine != nullptr && mine->stopped) return make_error(Errc::unavailable, "it was stopped");
  const bool nobody_waits = [&]() GLM_REQUIRES(mutex_) {
    const MutexUnlock unlocked(mutex_);
    return gone && gone();
  }();
  if (nobody_waits) return make_error(Errc::cancelled, "the client closed its connection");
  return Ok{};
}

// Takes the model away; the entry stays until the process is gone, so that nobody starts another
// one beside it.
void Models::end(Entries::iterator it) {
  Entry& entry = it->second;
  const std::string model_name = it->first;
  std::shared_ptr<LoadedModel> model = std::move(entry.model);
  entry.model.reset();
  entry.ending = true;
  const Runner& runner = *model->runner;
  const Clock::Steady now = clock_.now();
  if (!runner.alive() && !runner.death().empty()) {
    const bool early = now - model->loaded_at < Restarts::kEarly && !runner.answered();
    if (early) {
      restarts_.died_early(model_name, runner.death(), now);
    } else {
      restarts_.works(model_name);
    }
    ++model->metrics.runner_deaths;
  } else if (runner.answered()) {
    restarts_.works(model_name);
  }
  {
    const MutexUnlock unlocked(mutex_);
    model->runner->end();
    spdlog::info("unloaded model={}", model_name);
    model.reset();
  }
  entries_.erase(model_name);
  changed_.notify_all();
}

void Models::release(const std::shared_ptr<LoadedModel>& model) {
  MutexLock lock(mutex_);
  const auto it = entries_.find(model->manifest.name);
  if (it != entries_.end() && it->second.model == model) {
    Entry& entry = it->second;
    --entry.leases;
    entry.idle_since = clock_.now();
    if (expired(entry, entry.idle_since)) end(it);
  }
  changed_.notify_all();
}

bool Models::expired(const Entry& entry, Clock::Steady now) const {
  if (!entry.idle()) return false;
  if (!entry.model->runner->alive() || entry.stopping) return true;
  return entry.keep_alive.count() >= 0 && now - entry.idle_since >= entry.keep_alive;
}

bool Models::unload(const std::string& name) {
  MutexLock lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) return false;
  const std::shared_ptr<Attempt> attempt = found->second.attempt;  // tells this one from the next
  const Clock::Steady deadline = clock_.now() + kDrainMax;
  while (true) {
    const auto it = entries_.find(name);
    if (it == entries_.end() || it->second.attempt != attempt) return true;
    Entry& entry = it->second;
    entry.stopping = true;
    attempt->stopped = true;
    if (entry.starting) entry.starting->stop();
    if (entry.idle()) {
      end(it);
      continue;
    }
    // Its requests then fail, and the last of them ends it.
    if (entry.model && clock_.now() >= deadline) entry.model->runner->stop();
    changed_.notify_all();
    (void)lock.wait_until(changed_, std::chrono::steady_clock::now() + kWaitPeriod);
  }
}

void Models::mended(const store::Digest& file) {
  MutexLock lock(mutex_);
  for (auto& [name, entry] : entries_) {
    const std::vector<store::ManifestFile>& files = entry.manifest.files;
    entry.stale = entry.stale || std::any_of(files.begin(), files.end(),
                                             [&](const auto& one) { return one.digest == file; });
  }
}

bool Models::in_use() const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [](const auto& row) { return row.second.model && row.second.leases > 0; });
}

void Models::drain() {
  MutexLock lock(mutex_);
  stopping_ = true;
  const Clock::Steady deadline = clock_.now() + kDrainMax;
  for (const auto& [name, entry] : entries_) {
    if (entry.starting) entry.starting->stop();
  }
  changed_.notify_all();
  while (in_use() && clock_.now() < deadline) {
    (void)lock.wait_until(changed_, std::chrono::steady_clock::now() + kWaitPeriod);
  }
}

void Models::stop() {
  MutexLock lock(mutex_);
  stopping_ = true;
  for (const auto& [name, entry] : entries_) {
    if (entry.model) entry.model->runner->stop();
    if (entry.starting) entry.starting->stop();
  }
  changed_.notify_all();
}

std::vector<ModelInfo> Models::list() const {
  std::vector<ModelInfo> infos;
  MutexLock lock(mutex_);
  const Clock::Steady now = clock_.now();
  for (const auto& [name, entry] : entries_) {
    ModelInfo info;
    info.manifest = entry.manifest;
    if (entry.ending || entry.stopping) info.state = ModelState::stopping;
    if (entry.model) {
      const Runner& runner = *entry.model->runner;
      if (!entry.stopping) info.state = runner.alive() ? ModelState::ready : ModelState::dead;
      info.device = runner.ready().device;
      info.memory_bytes = runner.held_bytes();
      info.context_max = runner.ready().context_max;
      info.requests = entry.leases;
      info.stats = runner.stats();
      info.runner_pid = runner.pid();
    }
    if (entry.keep_alive.count() >= 0) {
      const auto idle = entry.idle() ? now - entry.idle_since : Clock::Steady::duration::zero();
      info.expires_at = clock_.wall() +
                        std::chrono::duration_cast<Clock::Wall::duration>(entry.keep_alive - idle);
    }
    infos.push_back(std::move(info));
  }
  std::stable_sort(infos.begin(), infos.end(), [](const ModelInfo& a, const ModelInfo& b) {
    if (!a.expires_at || !b.expires_at) return !a.expires_at && b.expires_at;
    return *a.expires_at > *b.expires_at;
  });
  return infos;
}

void Models::end_expired() {
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (expired(it->second, clock_.now())) {
      end(it);
      it = entries_.begin();  // others came and went meanwhile
    } else {
      ++it;
    }
  }
}

void Models::sweep() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    end_expired();
    (void)lock.wait_until(changed_, std::chrono::steady_clock::now() + kSweepPeriod);
  }
}

}  // namespace glm::daemon
