// The lives of models, with runners that are no processes and a clock that stands still.
#include "cmd/daemon/models.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <future>
#include <map>
#include <random>
#include <thread>

#include "tests/fakes/fake_runners.h"
#include "tests/fakes/manual_clock.h"

namespace glm::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Names = std::vector<std::string>;

constexpr KeepAlive kForEver{-1};

class ModelsTest : public testing::Test {
 protected:
  ~ModelsTest() override { models_.reset(); }

  void open(ModelLimits limits = {}) {
    models_ = std::make_unique<Models>(loader_, metrics_, clock_, limits);
  }
  void set_memory(std::uint64_t bytes) {
    MutexLock lock(loader_.device.mutex);
    loader_.device.free_bytes = bytes;
  }

  static store::Manifest manifest(const std::string& name, std::uint64_t bytes = 10) {
    store::Manifest manifest;
    manifest.name = name;
    manifest.files.push_back({"model.safetensors", store::Digest(store::Digest::Bytes{}), bytes});
    return manifest;
  }
  Result<ModelLease> acquire(const std::string& name, std::uint64_t bytes = 10,
                             std::optional<KeepAlive> keep_alive = std::nullopt,
                             const RunOptions& options = {}) {
    return models_->acquire(manifest(name, bytes), options, keep_alive, {});
  }
  // Loads it and leaves it idle; the clock goes on, so that uses have an order.
  void use(const std::string& name, std::uint64_t bytes = 10,
           std::optional<KeepAlive> keep_alive = std::nullopt) {
    const Result<ModelLease> lease = acquire(name, bytes, keep_alive);
    ASSERT_TRUE(lease.ok()) << lease.error().message;
    clock_.sleep(milliseconds(1));
  }
  Names loaded() {
    Names names;
    for (const ModelInfo& info : models_->list()) {
      if (info.state == ModelState::ready) names.push_back(info.manifest.name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  template <typename Condition>
  static bool soon(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + seconds(10);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(milliseconds(1));
    }
    return true;
  }
  static bool waits(const std::future<void>& future) {
    return future.wait_for(milliseconds(300)) == std::future_status::timeout;
  }

  fakes::ManualClock clock_;
  fakes::FakeLoader loader_;
  Metrics metrics_;
  std::unique_ptr<Models> models_;
};

TEST_F(ModelsTest, LoadsOnceForAllWhoAskMeanwhile) {
  open();
  loader_.hold_loads = true;
  std::vector<std::future<void>> askers;
  for (int i = 0; i < 8; ++i) {
    askers.push_back(std::async(std::launch::async, [&] { EXPECT_TRUE(acquire("a").ok()); }));
  }
  ASSERT_TRUE(soon([&] { return loader_.runner("a") != nullptr; }));
  EXPECT_TRUE(waits(askers.front()) || waits(askers.back()));
  loader_.runner("a")->let_go();
  for (auto& asker : askers) asker.get();
  EXPECT_EQ(loader_.device.seen(), (Names{"start a", "ready a"}));
}

TEST_F(ModelsTest, LetsGoOfAModelWhenItsTimeIsOver) {
  open({.keep_alive = seconds(60)});
  use("a");
  use("b", 10, seconds(120));
  use("c", 10, kForEver);
  use("d", 10, KeepAlive(0));
  EXPECT_EQ(loaded(), (Names{"a", "b", "c"}));
  clock_.sleep(seconds(61));
  EXPECT_TRUE(soon([&] { return loaded() == Names{"b", "c"}; }));
  clock_.sleep(seconds(3600));
  EXPECT_TRUE(soon([&] { return loaded() == Names{"c"}; }));
}

TEST_F(ModelsTest, ReplacesAModelThatIsWantedWithOtherOptions) {
  open();
  use("a");
  ASSERT_TRUE(acquire("a", 10, {}, {.device = "auto", .context_max = 100}).ok());
  EXPECT_EQ(loader_.device.seen(), (Names{"start a", "ready a", "end a", "start a", "ready a"}));
}

TEST_F(ModelsTest, KeepsWhatIsLoadedWhenTheLoadCouldNotSucceedAnyway) {
  open({.loaded_max = 1});
  use("a");
  for (const char* name : {"a", "b"}) {
    const auto refused = acquire(name, 10, {}, {.device = "cuda"});
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().message, fmt::format("load {}: there is no such device", name));
  }
  EXPECT_EQ(loaded(), Names{"a"});
  EXPECT_EQ(loader_.device.seen(), (Names{"start a", "ready a"}));
}

TEST_F(ModelsTest, CountsWhatModelsHoldAndWhatTheyWerePromised) {
  open();
  use("a", 40);
  loader_.runner("a")->held = 10;
  use("b", 20);
  EXPECT_EQ(loader_.promised, 30u);
  loader_.runner("b")->held = 5;
  use("c", 1);
  EXPECT_EQ(loader_.promised, 45u);
  std::map<std::string, std::uint64_t> held;
  for (const ModelInfo& info : models_->list()) held[info.manifest.name] = info.memory_bytes;
  EXPECT_EQ(held, (std::map<std::string, std::uint64_t>{{"a", 10}, {"b", 5}, {"c", 1}}));
}

TEST_F(ModelsTest, MakesRoomOnTheHostForWhatWasPromisedToo) {
  open();
  loader_.host_free = 100;
  use("a", 90);
  loader_.runner("a")->held = 0;
  const RunOptions on_host{.device = "cpu"};
  ASSERT_TRUE(acquire("b", 10, {}, on_host).ok());
  EXPECT_EQ(loaded(), (Names{"a", "b"}));
  ASSERT_TRUE(acquire("c", 11, {}, on_host).ok());
  EXPECT_EQ(loaded(), (Names{"b", "c"}));
}

TEST_F(ModelsTest, LoadsAModelAgainWhoseFileWasMended) {
  open();
  const store::Digest file = manifest("a").files.front().digest;
  std::future<void> next;
  {
    const Result<ModelLease> busy = acquire("a");
    ASSERT_TRUE(busy.ok());
    models_->mended(store::Digest(store::Digest::Bytes{1}));  // of another model
    EXPECT_TRUE(acquire("a").ok());
    models_->mended(file);
    next = std::async(std::launch::async, [&] { EXPECT_TRUE(acquire("a").ok()); });
    EXPECT_TRUE(waits(next)) << "the answer under way was cut off";
    EXPECT_EQ(loader_.device.seen(), (Names{"start a", "ready a"}));
  }
  next.get();
  EXPECT_TRUE(acquire("a").ok());
  EXPECT_EQ(loader_.device.seen(), (Names{"start a", "ready a", "end a", "start a", "ready a"}));
}

TEST_F(ModelsTest, EndsTheLeastRecentlyUsedBeforeItTriesAgain) {
  open();
  set_memory(100);
  use("a", 40);
  use("b", 40);
  use("a", 40);
  use("c", 40);
  EXPECT_EQ(loaded(), (Names{"a", "c"}));
  EXPECT_EQ(loader_.device.seen(), (Names{"start a", "ready a", "start b", "ready b", "start c",
                                          "end c", "end b", "start c", "ready c"}));
}

TEST_F(ModelsTest, EndsAsManyAsANewOneNeeds) {
  open();
  set_memory(100);
  for (const char* name : {"a", "b", "c", "d"}) use(name, 25);
  use("large", 60);
  EXPECT_EQ(loaded(), (Names{"d", "large"}));
}

TEST_F(ModelsTest, KeepsWhatIsKeptForEverWhileThereIsAnother) {
  open();
  set_memory(100);
  use("pinned", 40, kForEver);
  use("a", 40);
  use("b", 40);
  EXPECT_EQ(loaded(), (Names{"b", "pinned"}));
  use("large", 90);
  EXPECT_EQ(loaded(), (Names{"large"}));
}

TEST_F(ModelsTest, SaysWhatTheRunnerSaidWhenNobodyIsLeftToGo) {
  open();
  set_memory(100);
  use("a", 40);
  const Result<ModelLease> lease = acquire("huge", 200);
  ASSERT_FALSE(lease.ok());
  EXPECT_EQ(lease.error().code, Errc::exhausted);
  EXPECT_EQ(lease.error().message, "load huge: out of memory");
  EXPECT_EQ(loaded(), Names{});
}

TEST_F(ModelsTest, DoNotWaitForEachOtherWhenNoneOfThemHasRoom) {
  open();
  set_memory(100);
  auto lease = std::make_unique<Result<ModelLease>>(acquire("a", 60));
  ASSERT_TRUE(lease->ok());
  std::vector<std::future<Errc>> huge;
  for (const char* name : {"b", "c", "d"}) {
    huge.push_back(std::async(std::launch::async, [this, name] {
      const Result<ModelLease> got = acquire(name, 200);
      return got.ok() ? Errc::internal : got.error().code;
    }));
  }
  ASSERT_TRUE(
      soon([&] { return loader_.runner("b") && loader_.runner("c") && loader_.runner("d"); }));
  lease.reset();
  EXPECT_TRUE(soon([&] {
    return std::all_of(huge.begin(), huge.end(), [](const auto& asker) {
      return asker.wait_for(seconds(0)) == std::future_status::ready;
    });
  }));
  models_->stop();  // so that a failure ends
  for (auto& asker : huge) EXPECT_EQ(asker.get(), Errc::exhausted);
}

TEST_F(ModelsTest, WaitsForAModelInUseAndLetsNobodyPastMeanwhile) {
  open();
  set_memory(100);
  auto lease = std::make_unique<Result<ModelLease>>(acquire("a", 60));
  ASSERT_TRUE(lease->ok());
  auto b = std::async(std::launch::async, [&] { EXPECT_TRUE(acquire("b", 60).ok()); });
  EXPECT_TRUE(waits(b));
  auto a = std::async(std::launch::async, [&] { EXPECT_TRUE(acquire("a", 60).ok()); });
  EXPECT_TRUE(waits(a));
  lease.reset();
  b.get();
  a.get();
  EXPECT_EQ(loader_.device.seen(),
            (Names{"start a", "ready a", "start b", "end b", "end a", "start b", "ready b",
                   "start a", "end a", "end b", "start a", "ready a"}));
}

TEST_F(ModelsTest, TakesNewRequestsAgainWhenNobodyWaitsForItsPlaceAnyMore) {
  open();
  set_memory(100);
  const Result<ModelLease> lease = acquire("a", 60);
  std::atomic<bool> left = false;
  auto b = std::async(std::launch::async, [&] {
    const auto gone = models_->acquire(manifest("b", 60), {}, {}, [&] { return left.load(); });
    EXPECT_EQ(gone.error().code, Errc::cancelled);
  });
  EXPECT_TRUE(waits(b));
  left = true;
  b.get();
  EXPECT_TRUE(acquire("a", 60).ok());
}

TEST_F(ModelsTest, HoldsNoMoreThanItsLimit) {
  open({.loaded_max = 2});
  use("a");
  use("b");
  use("c");
  EXPECT_EQ(loaded(), (Names{"b", "c"}));
  const Result<ModelLease> b = acquire("b");
  auto c = std::make_unique<Result<ModelLease>>(acquire("c"));
  auto d = std::async(std::launch::async, [&] { EXPECT_TRUE(acquire("d").ok()); });
  EXPECT_TRUE(waits(d));
  c.reset();
  // b was used longer ago, but is in use; c is the one that comes free.
  d.get();
  EXPECT_EQ(loaded(), (Names{"b", "d"}));
}

TEST_F(ModelsTest, MakesRoomOnTheHostBeforeItBeginsToSwap) {
  open();
  use("a", 40);
  loader_.host_free = 30;
  use("b", 20);
  EXPECT_EQ(loaded(), (Names{"a", "b"}));
  use("c", 50);  // the fake's memory stays as it is, so everybody goes
  EXPECT_EQ(loaded(), (Names{"c"}));
}

TEST_F(ModelsTest, StartsAnotherRunnerForOneThatDied) {
  open();
  auto lease = std::make_unique<Result<ModelLease>>(acquire("a"));
  const auto first = loader_.runner("a");
  first->die("killed by signal 9 (Killed)");
  EXPECT_TRUE(acquire("a").ok());
  EXPECT_NE(loader_.runner("a"), first);
  lease.reset();  // of the dead one: nothing happens to the other
  EXPECT_EQ(loaded(), Names{"a"});
  EXPECT_EQ(metrics_.model("a").runner_deaths, 1u);
}

TEST_F(ModelsTest, GoOnAfterALoadThatThrew) {
  open();
  loader_.throw_loading = true;
  const Result<ModelLease> thrown = acquire("a");
  ASSERT_FALSE(thrown.ok());
  EXPECT_EQ(thrown.error().message, "load a: load a: no thread: Resource temporarily unavailable");
  EXPECT_TRUE(models_->list().empty());
  loader_.throw_loading = false;
  EXPECT_TRUE(acquire("a").ok());
}

TEST_F(ModelsTest, WaitsLongerAndLongerForAModelThatKeepsDyingWhileItLoads) {
  open();
  loader_.die_loading = true;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(acquire("a").error().code, Errc::device);
  const Result<ModelLease> refused = acquire("a");
  EXPECT_EQ(refused.error().code, Errc::unavailable);
  EXPECT_EQ(refused.error().message,
            "load a: its runner died 3 times in a row while loading or soon after (last: signal "
            "11); the next start is possible in 1 s");
  loader_.die_loading = false;
  EXPECT_TRUE(acquire("b").ok());  // it is about that model alone
  loader_.die_loading = true;
  clock_.sleep(seconds(1));
  EXPECT_EQ(acquire("a").error().code, Errc::device);
  clock_.sleep(seconds(1));
  EXPECT_EQ(acquire("a").error().code, Errc::unavailable);
  clock_.sleep(seconds(1));
  loader_.die_loading = false;
  const Result<ModelLease> lease = acquire("a");
  ASSERT_TRUE(lease.ok());
}

TEST_F(ModelsTest, ForgetsDeathsOnceARunnerHasAnswered) {
  open();
  for (int i = 0; i < 10; ++i) {
    const Result<ModelLease> lease = acquire("a");
    ASSERT_TRUE(lease.ok()) << i << lease.error().message;
    loader_.runner("a")->has_answered = true;
    loader_.runner("a")->die("signal 9");
  }
  for (int i = 0; i < 3; ++i) {
    const Result<ModelLease> lease = acquire("a");
    ASSERT_TRUE(lease.ok()) << i << lease.error().message;
    loader_.runner("a")->die("signal 9");
  }
  EXPECT_EQ(acquire("a").error().code, Errc::unavailable);
}

TEST_F(ModelsTest, FinishTheirAnswersWhenTheyAreStoppedAndTakeNoNewOnes) {
  open();
  auto lease = std::make_unique<Result<ModelLease>>(acquire("a"));
  auto stop = std::async(std::launch::async, [&] { EXPECT_TRUE(models_->unload("a")); });
  EXPECT_TRUE(waits(stop));
  const Result<ModelLease> refused = acquire("a");
  EXPECT_EQ(refused.error().code, Errc::unavailable);
  EXPECT_EQ(refused.error().message, "a is being stopped; try again when it is gone");
  EXPECT_TRUE((**lease)->runner->alive());
  lease.reset();
  stop.get();
  EXPECT_EQ(loader_.device.seen(), (Names{"start a", "ready a", "end a"}));
  EXPECT_FALSE(models_->unload("a"));
  EXPECT_TRUE(acquire("a").ok());
}

TEST_F(ModelsTest, AreCutOffWhenTheyDoNotFinishInTime) {
  open();
  auto lease = std::make_unique<Result<ModelLease>>(acquire("a"));
  auto stop = std::async(std::launch::async, [&] { models_->unload("a"); });
  EXPECT_TRUE(waits(stop));
  clock_.sleep(Models::kDrainMax);
  EXPECT_TRUE(soon([&] { return !(**lease)->runner->alive(); }));
  lease.reset();
  stop.get();
  EXPECT_EQ(loaded(), Names{});
}

TEST_F(ModelsTest, GiveUpALoadWhenTheyAreStopped) {
  open();
  loader_.hold_loads = true;
  auto load = std::async(std::launch::async, [&] {
    EXPECT_EQ(acquire("a").error().message, "load a: the load was stopped");
  });
  ASSERT_TRUE(soon([&] { return loader_.runner("a") != nullptr; }));
  EXPECT_TRUE(models_->unload("a"));
  load.get();
}

TEST_F(ModelsTest, DrainWithTheDaemon) {
  open();
  auto lease = std::make_unique<Result<ModelLease>>(acquire("a"));
  loader_.hold_loads = true;
  auto load = std::async(std::launch::async,
                         [&] { EXPECT_EQ(acquire("b").error().code, Errc::unavailable); });
  ASSERT_TRUE(soon([&] { return loader_.runner("b") != nullptr; }));
  auto drain = std::async(std::launch::async, [&] { models_->drain(); });
  load.get();
  EXPECT_TRUE(waits(drain));
  EXPECT_EQ(acquire("a").error().message, "the daemon is stopping");
  EXPECT_TRUE((**lease)->runner->alive());
  lease.reset();
  drain.get();
}

TEST_F(ModelsTest, TellWhatStateTheyAreIn) {
  open();
  loader_.hold_loads = true;
  auto load = std::async(std::launch::async, [&] { EXPECT_TRUE(acquire("a").ok()); });
  ASSERT_TRUE(soon([&] { return loader_.runner("a") != nullptr; }));
  ASSERT_EQ(models_->list().size(), 1u);
  EXPECT_EQ(models_->list()[0].state, ModelState::loading);
  loader_.runner("a")->let_go();
  load.get();
  EXPECT_EQ(models_->list()[0].state, ModelState::ready);
  EXPECT_EQ(name(ModelState::dead), "dead");
}

// Eight clients and an operator do what they like; in the end nothing hangs and nothing is left.
TEST_F(ModelsTest, LoseNothingWhateverHappensAtOnce) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  open({.keep_alive = milliseconds(20), .loaded_max = 3});
  set_memory(100);
  const Names names = {"a", "b", "c", "d", "e"};
  const std::map<std::string, std::uint64_t> bytes = {
      {"a", 10}, {"b", 40}, {"c", 60}, {"d", 60}, {"e", 101}};  // e never fits
  std::atomic<int> served = 0;
  const auto client = [&](unsigned number) {
    std::mt19937 random(seed + number);
    for (int i = 0; i < 150; ++i) {
      const std::string& name = names[random() % names.size()];
      const RunOptions options{.device = "cuda", .context_max = random() % 8 == 0 ? 100 : 0};
      const bool impatient = random() % 4 == 0;
      const Result<ModelLease> lease = models_->acquire(
          manifest(name, bytes.at(name)), options,
          random() % 3 == 0 ? std::optional<KeepAlive>(random() % 40) : std::optional<KeepAlive>(),
          [&] { return impatient; });
      if (!lease.ok()) {
        EXPECT_NE(lease.error().code, Errc::internal) << lease.error().message;
        continue;
      }
      ++served;
      EXPECT_NE(name, "e");
      if (random() % 2 == 0) loader_.runner(name)->has_answered = true;
      if (random() % 16 == 0) loader_.runner(name)->die("signal 9");
      if (random() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 500));
      clock_.sleep(milliseconds(random() % 5));
    }
  };
  std::vector<std::future<void>> clients;
  for (unsigned number = 0; number < 8; ++number) {
    clients.push_back(std::async(std::launch::async, client, number));
  }
  std::mt19937 random(seed + 100);
  while (std::any_of(clients.begin(), clients.end(), [](const auto& one) {
    return one.wait_for(seconds(0)) == std::future_status::timeout;
  })) {
    models_->unload(names[random() % names.size()]);
    EXPECT_LE(models_->list().size(), names.size());
    clock_.sleep(milliseconds(50));
    std::this_thread::sleep_for(milliseconds(2));
  }
  for (auto& one : clients) one.get();
  EXPECT_GT(served, 20);
  models_.reset();
  std::map<std::string, int> running;
  for (const std::string& event : loader_.device.seen()) {
    if (event.starts_with("start")) ++running[event.substr(6)];
    if (event.starts_with("end")) --running[event.substr(4)];
    for (const auto& [name, count] : running) ASSERT_LE(count, 1) << name;
  }
  for (const auto& [name, count] : running) EXPECT_EQ(count, 0) << name;
  MutexLock lock(loader_.device.mutex);
  EXPECT_EQ(loader_.device.free_bytes, 100u);
}

TEST(AvailableMemory, IsReadFromMeminfo) {
  EXPECT_EQ(available_memory("MemTotal:  24 kB\nMemAvailable:    1234 kB\nBuffers: 9 kB\n"),
            1234u * 1024);
  EXPECT_EQ(available_memory("nothing"), ~std::uint64_t{0});
  EXPECT_EQ(available_memory("MemAvailable:"), ~std::uint64_t{0});
}

}  // namespace
}  // namespace glm::daemon
