// Loading: a place, a turn, a runner, and room for it at the cost of others.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "cmd/daemon/models.h"

namespace glm::daemon {
namespace {

// What a model needs at least: its weights as they are stored.
std::uint64_t weight_bytes(const store::Manifest& manifest) {
  std::uint64_t bytes = 0;
  for (const store::ManifestFile& file : manifest.files) {
    if (file.path.ends_with(".safetensors")) bytes += file.size_bytes;
  }
  return bytes;
}

}  // namespace

// What it throws (no memory, no threads) must not leave an entry that loads for ever.
Result<std::shared_ptr<LoadedModel>> Models::load(const store::Manifest& manifest,
                                                  const RunOptions& options, const Gone& gone) try {
  Result<std::shared_ptr<const TextModel>> read = loader_.text(manifest);
  if (!read.ok()) return with_repair_hint(std::move(read).error(), manifest.name);
  std::shared_ptr<const TextModel> text = *std::move(read);
  Result<std::shared_ptr<Runner>> started = start_with_room(manifest, options, gone);
  if (!started.ok()) return with_repair_hint(std::move(started).error(), manifest.name);
  std::shared_ptr<Runner> runner = *std::move(started);
  ModelMetrics& metrics = metrics_.model(manifest.name);
  ++metrics.loads;
  spdlog::info("loaded model={} device=\"{}\" pid={} note=\"{}\"", manifest.name,
               runner->ready().device, runner->pid(), runner->ready().note);
  return std::make_shared<LoadedModel>(
      LoadedModel{manifest, options, std::move(text), std::move(runner), metrics, clock_.now()});
} catch (const std::exception& failure) {
  return make_error(Errc::internal, "load {}: {}", manifest.name, failure.what());
}

// Others go, the least recently used first, as long as the runner says that it has not enough
// memory and there is somebody to go. Who has made room takes the turn before anybody else can.
Result<std::shared_ptr<Runner>> Models::start_with_room(const store::Manifest& manifest,
                                                        const RunOptions& options,
                                                        const Gone& gone) {
  Turn turn(*this);
  MutexLock lock(mutex_);
  if (others_have_memory(manifest.name)) GLM_TRY(check(manifest, options));
  GLM_TRY(get_place(lock, manifest.name, gone));
  while (true) {
    GLM_TRY(take_turn(lock, manifest.name, gone));
    turn.mine = true;
    // The host does not refuse, it begins to swap.
    while (runs_on_host(options) &&
           loader_.host_memory_free() < weight_bytes(manifest) + promised_bytes() &&
           free_idle(manifest.name, 1)) {
    }
    Result<std::shared_ptr<Runner>> runner = start_in_turn(manifest, options);
    turn.mine = turn_taken_ = false;
    changed_.notify_all();
    if (runner.ok() || runner.error().code != Errc::exhausted) return runner;
    if (free_idle(manifest.name, weight_bytes(manifest))) continue;
    if (!GLM_TRY(free_one(lock, manifest.name, gone))) return runner;
  }
}

// Only what throws (no memory, no threads) leaves it to this to give the turn back.
Models::Turn::~Turn() {
  if (!mine) return;
  MutexLock lock(models.mutex_);
  models.turn_taken_ = false;
}

// Before others go for it.
Status Models::check(const store::Manifest& manifest, const RunOptions& options) {
  const MutexUnlock unlocked(mutex_);
  return loader_.check(manifest, options);
}

// One load at a time, and none beside a process that is ending: what a runner finds free must stay
// free until it has taken it.
Status Models::take_turn(MutexLock& lock, const std::string& name, const Gone& gone) {
  const std::shared_ptr<Attempt> attempt = entries_[name].attempt;
  while (turn_taken_ || some_end()) GLM_TRY(wait(lock, attempt.get(), gone));
  turn_taken_ = true;
  return Ok{};
}

Result<std::shared_ptr<Runner>> Models::start_in_turn(const store::Manifest& manifest,
                                                      const RunOptions& options) {
  const std::uint64_t promised = promised_bytes();
  Result<std::shared_ptr<Runner>> runner = [&]() GLM_REQUIRES(mutex_) {
    const MutexUnlock unlocked(mutex_);
    return loader_.start(manifest, options, promised);
  }();
  if (!runner.ok()) return runner;
  // The entry knows its runner from the beginning, so that a stop reaches a load, too.
  Entry& entry = entries_[manifest.name];
  entry.starting = *runner;
  if (stopping_ || entry.attempt->stopped) (*runner)->stop();
  const Status ready = [&]() GLM_REQUIRES(mutex_) {
    const MutexUnlock unlocked(mutex_);
    Status waited = (*runner)->wait_until_ready();
    if (!waited.ok()) (*runner)->end();
    return waited;
  }();
  if (ready.ok()) return runner;
  entries_[manifest.name].starting.reset();
  if (ready.error().code == Errc::device) {
    restarts_.died_early(manifest.name, ready.error().message, clock_.now());
    ++metrics_.model(manifest.name).runner_deaths;
  }
  return ready.error();
}

// One of the loaded_max places. Those who wait for memory have one, and nothing to give up.
Status Models::get_place(MutexLock& lock, const std::string& name, const Gone& gone) {
  const std::shared_ptr<Attempt> attempt = entries_[name].attempt;
  while (limits_.loaded_max > 0 && places_taken() >= limits_.loaded_max) {
    if (!GLM_TRY(free_one(lock, name, gone))) GLM_TRY(wait(lock, attempt.get(), gone));
  }
  entries_[name].counts = true;
  return Ok{};
}

std::size_t Models::places_taken() const {
  return static_cast<std::size_t>(std::count_if(entries_.begin(), entries_.end(),
                                                [](const auto& row) { return row.second.counts; }));
}

bool Models::some_end() const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [](const auto& row) { return row.second.ending; });
}

// The model that goes next: the idle ones, or those in use.
Models::Entries::iterator Models::victim(const std::string& but, bool idle) {
  auto best = entries_.end();
  const auto before = [](const Entry& a, const Entry& b) {
    const bool a_stays = a.keep_alive.count() < 0, b_stays = b.keep_alive.count() < 0;
    return a_stays != b_stays ? b_stays : a.idle_since < b.idle_since;
  };
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    const Entry& entry = it->second;
    if (it->first == but || !entry.model || entry.idle() != idle) continue;
    if (best == entries_.end() || before(entry, best->second)) best = it;
  }
  return best;
}

// Idle models, until what they had is at least so much. False when there was none.
bool Models::free_idle(const std::string& but, std::uint64_t bytes) {
  std::uint64_t freed = 0;
  bool any = false;
  while (freed < bytes) {
    const auto it = victim(but, true);
    if (it == entries_.end()) break;
    freed += it->second.model->runner->ready().memory_bytes;
    any = true;
    spdlog::info("making room model={} for={}", it->first, but);
    end(it);
  }
  return any;
}

// Others that have memory or are about to take some. Those who wait for room themselves have none:
// two models that are too large would wait for each other for ever.
bool Models::others_have_memory(const std::string& but) const {
  return turn_taken_ || std::any_of(entries_.begin(), entries_.end(), [&](const auto& row) {
           const Entry& entry = row.second;
           return row.first != but && (entry.model || entry.starting || entry.ending);
         });
}

// One model fewer, waiting for one in use if there is no other. False when there is none.
Result<bool> Models::free_one(MutexLock& lock, const std::string& but, const Gone& gone) {
  const std::shared_ptr<Attempt> attempt = entries_[but].attempt;
  while (true) {
    if (free_idle(but, 1)) return true;
    if (!others_have_memory(but)) return false;
    std::shared_ptr<LoadedModel> awaited;
    if (const auto busy = victim(but, false); busy != entries_.end()) {
      awaited = busy->second.model;
      ++busy->second.claims;
    }
    const std::size_t before = entries_.size();
    const Status go_on = wait(lock, attempt.get(), gone);
    drop_claim(awaited);
    GLM_TRY(go_on);
    if (entries_.size() < before) return true;
  }
}

void Models::drop_claim(const std::shared_ptr<LoadedModel>& model) {
  if (!model) return;
  const auto it = entries_.find(model->manifest.name);
  if (it != entries_.end() && it->second.model == model) --it->second.claims;
}

// Of the host's free memory, what the models on it have not touched yet.
std::uint64_t Models::promised_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& [name, entry] : entries_) {
    if (!entry.model || entry.model->runner->ready().device != "cpu") continue;
    const Runner& runner = *entry.model->runner;
    const std::uint64_t all = runner.ready().memory_bytes;
    bytes += all - std::min(all, runner.held_bytes());
  }
  return bytes;
}

bool Models::runs_on_host(const RunOptions& options) const {
  if (options.device == "cpu") return true;
  return std::any_of(entries_.begin(), entries_.end(), [&](const auto& row) {
    const LoadedModel* model = row.second.model.get();
    return model != nullptr && model->options.device == options.device &&
           model->runner->ready().device == "cpu";
  });
}

}  // namespace glm::daemon
