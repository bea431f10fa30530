// Pulls against a hub that misbehaves in every way it can. After each of them the store holds the
// whole model, right to the byte, or shows nothing of it; and a failure says what happened.
#include "registry/pull.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <mutex>
#include <random>
#include <sstream>
#include <thread>

#include "registry/hub_client.h"
#include "store/sha256.h"
#include "store/verify.h"
#include "tests/fakes/fake_hub.h"
#include "tests/fakes/manual_clock.h"
#include "tests/fakes/silent_server.h"
#include "tests/fakes/temp_dir.h"

namespace glm::registry {
namespace {

using fakes::Access;
using fakes::Fault;
using fakes::FaultKind;
using fakes::SilentServer;
using fakes::Step;

constexpr const char* kRepository = "org/model";
constexpr const char* kWeights = "model.safetensors";

std::string contents(const std::filesystem::path& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

class PullTest : public testing::Test {
 protected:
  PullTest() {
    std::printf("seed %u\n", seed_);
    weights_.resize(250'000 + random_() % 1000);
    for (char& c : weights_) c = static_cast<char>(random_());
    hub_.add_file(kRepository, "config.json", "{\"a\": 1}\n");
    hub_.add_file(kRepository, "tokenizer.json", std::string(5000, 't'));
    hub_.add_file(kRepository, "evil.py", "import os");
    hub_.add_file(kRepository, kWeights, weights_);
  }

  HubOptions options() const {
    HubOptions options;
    options.endpoint = hub_.url();
    options.retry.first_wait = std::chrono::milliseconds(1);
    return options;
  }

  // How a pull ends that is stopped when it has said this, or after ten seconds.
  Errc stop_when_said(const std::string& status) {
    std::stop_source stop;
    std::jthread stopper([&] {
      for (int tenths = 0; tenths < 100; ++tenths) {
        ::usleep(100'000);
        const std::lock_guard lock(said_mutex_);
        if (said(status)) break;
      }
      stop.request_stop();
    });
    const Result<store::Manifest> pulled = pull(stop.get_token());
    EXPECT_TRUE(said(status)) << status;
    return pulled.ok() ? Errc::internal : pulled.error().code;
  }
  Result<store::Manifest> pull(std::stop_token stop = {}) {
    if (!store_) store_ = *store::Store::open(dir_.path());
    HubSource source(options_ ? *options_ : options(), clock_);
    PullRequest request;
    request.name = "m:latest";
    request.source = source_name_;
    request.revision = revision_;
    request.download.part_bytes = part_bytes_;
    const Inspector inspector{accept_, [](const FilesOnDisk&) { return std::string("{}"); },
                              [&](const store::Digest& digest) { mended_.push_back(digest); }};
    {
      const std::lock_guard lock(said_mutex_);
      said_.clear();
    }
    const auto progress = [&](const PullProgress& said) {
      const std::lock_guard lock(said_mutex_);
      if (said_.empty() || said_.back() != said.status) said_.push_back(said.status);
    };
    return registry::pull(*store_, source, request, inspector, progress, stop);
  }

  bool said(std::string_view status) const {
    return std::find(said_.begin(), said_.end(), status) != said_.end();
  }

  int said_that_it_tries_again() const {
    int times = 0;
    for (const std::string& status : said_) {
      if (!status.starts_with("trying again: ")) continue;
      ++times;
      EXPECT_TRUE(status.ends_with(fmt::format(" (try {} of 6)", times))) << status;
    }
    return times;
  }

  // Other bytes in the place of a blob's, as a disk may come to have them.
  void damage(const std::string& text) {
    const std::filesystem::path blob = *store_->blobs().path(store::sha256(text));
    std::filesystem::permissions(blob, std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add);
    std::fstream file(blob, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(text.size() / 2));
    file.put(static_cast<char>(text[text.size() / 2] ^ 1));
  }

  std::size_t requests_of(std::string_view path) const {
    const auto requests = hub_.requests();
    return static_cast<std::size_t>(
        std::count_if(requests.begin(), requests.end(), [&](const fakes::HubRequest& request) {
          return request.method == "GET" && request.target.find(path) != std::string::npos;
        }));
  }

  void expect_digests(const store::Manifest& manifest) {
    const auto states = store::verify(store_->blobs(), manifest.files, {}, {});
    ASSERT_TRUE(states.ok());
    for (const store::BlobState state : *states) EXPECT_EQ(state, store::BlobState::whole);
  }

  void expect_whole() {
    const Result<store::Manifest> found = store_->find("m:latest");
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(found->source, kRepository);
    EXPECT_EQ(found->commit, hub_.commit(kRepository));
    ASSERT_EQ(found->files.size(), 3u);
    expect_digests(*found);
    EXPECT_EQ(contents(*store_->blobs().path(store::sha256(weights_))), weights_);
  }

  void expect_nothing() {
    EXPECT_TRUE(store_->list()->empty());
    EXPECT_FALSE(store_->blobs().contains(store::sha256(weights_)));
  }

  void expect_failure(Errc code, std::string_view words) {
    const Result<store::Manifest> pulled = pull();
    ASSERT_FALSE(pulled.ok());
    EXPECT_EQ(pulled.error().code, code) << pulled.error().message;
    EXPECT_NE(pulled.error().message.find(words), std::string::npos) << pulled.error().message;
    expect_nothing();
  }

  void expect_recovery() {
    const Result<store::Manifest> pulled = pull();
    ASSERT_TRUE(pulled.ok()) << pulled.error().message;
    expect_whole();
  }

  const unsigned seed_ = std::random_device{}();
  std::mt19937 random_{seed_};
  fakes::FakeHub hub_;
  fakes::TempDir dir_;
  fakes::ManualClock clock_;
  std::string weights_;
  std::string source_name_ = kRepository;
  std::string revision_ = "main";
  std::uint64_t part_bytes_ = 40'000;  // several ranges at once
  std::optional<HubOptions> options_;
  std::function<Status(const FilesOnDisk&)> accept_ = [](const FilesOnDisk&) { return Ok{}; };
  std::unique_ptr<store::Store> store_;
  std::mutex said_mutex_;
  std::vector<std::string> said_;
  std::vector<store::Digest> mended_;
};

TEST_F(PullTest, BringsTheWholeModelAndNoCode) {
  expect_recovery();
  for (const fakes::HubRequest& request : hub_.requests()) {
    EXPECT_EQ(request.target.find("evil.py"), std::string::npos);
    EXPECT_EQ(request.accept_encoding, "identity");
  }
}

TEST_F(PullTest, FindsARepositoryInAnyCaseAndKeepsItsName) {
  source_name_ = "ORG/Model";
  expect_recovery();
}

TEST_F(PullTest, FetchesNothingTwice) {
  expect_recovery();
  hub_.forget_requests();
  ASSERT_TRUE(pull().ok());
  for (const fakes::HubRequest& request : hub_.requests()) {
    EXPECT_TRUE(request.target.starts_with("/api/")) << request.target;
  }
  EXPECT_TRUE(said("verified " + store::sha256(weights_).hex().substr(0, 12)));
  for (const std::string& status : said_) {
    EXPECT_TRUE(status == "pulling manifest" || !status.starts_with("pulling")) << status;
  }
}

TEST_F(PullTest, FetchesASmallFileThatIsAnotherOneNow) {
  expect_recovery();
  hub_.add_file(kRepository, "config.json", "{\"a\": 2}\n");
  expect_recovery();
  EXPECT_EQ(contents(*store_->blobs().path(store::sha256("{\"a\": 2}\n"))), "{\"a\": 2}\n");
  EXPECT_TRUE(mended_.empty());
}

TEST_F(PullTest, MendsWhatWasDamagedAndFetchesNothingElse) {
  expect_recovery();
  hub_.forget_requests();
  damage(weights_);
  part_bytes_ = 1 << 30;
  expect_recovery();
  EXPECT_TRUE(said("model.safetensors is damaged here"));
  EXPECT_EQ(mended_, std::vector{store::sha256(weights_)});
  EXPECT_EQ(requests_of("tokenizer.json"), 0u);
  EXPECT_EQ(requests_of("config.json"), 0u);
  mended_.clear();
  damage("{\"a\": 1}\n");  // known to the hub by its git id
  expect_recovery();
  EXPECT_TRUE(said("config.json is damaged here"));
  EXPECT_EQ(mended_, std::vector{store::sha256("{\"a\": 1}\n")});
}

// Another model shares the file, and nobody has pulled this one.
TEST_F(PullTest, MendsABlobThatCameUnderAnotherName) {
  expect_recovery();
  ASSERT_TRUE(store_->copy("m:latest", "other").ok());
  ASSERT_TRUE(store_->remove("m:latest").ok());
  damage(weights_);
  damage("{\"a\": 1}\n");
  expect_recovery();
  expect_digests(*store_->find("other"));
}

TEST_F(PullTest, KeepsADamagedFileUntilItsSuccessorIsWhole) {
  expect_recovery();
  damage(weights_);
  part_bytes_ = 1 << 30;
  const std::filesystem::path blob = *store_->blobs().path(store::sha256(weights_));
  std::ifstream reader(blob, std::ios::binary);  // as a model that is being loaded
  hub_.misbehave(kRepository, kWeights, {.kind = FaultKind::cut, .bytes = 9000});
  options_ = options();
  options_->retry.attempts_max = 1;
  EXPECT_FALSE(pull().ok());
  EXPECT_TRUE(std::filesystem::exists(blob));
  EXPECT_TRUE(mended_.empty());
  EXPECT_GT(store_->blobs().partial_bytes(store::sha256(weights_)), 0u);
  hub_.behave();
  expect_recovery();
  std::ostringstream still;
  still << reader.rdbuf();
  EXPECT_EQ(still.str().size(), weights_.size());
  EXPECT_NE(still.str(), weights_) << "it was written over in place";
}

TEST_F(PullTest, ReadsWhatIsHereWhenTheHubIsAway) {
  expect_recovery();
  options_ = options();
  options_->offline = true;
  const auto fails = [&](Errc code, const std::string& message) {
    const Result<store::Manifest> pulled = pull();
    ASSERT_FALSE(pulled.ok());
    EXPECT_EQ(pulled.error().code, code);
    EXPECT_EQ(pulled.error().message, message);
  };
  const std::string away =
      "HF_HUB_OFFLINE is set, so org/model cannot be looked up; unset it to pull (a daemon keeps "
      "what it was started with: glm stop --all)";
  fails(Errc::unavailable, away + "; what is here of the model was read again and is whole");
  EXPECT_TRUE(said("verified " + store::sha256(weights_).hex().substr(0, 12)));
  damage(weights_);
  fails(Errc::corrupt, "model.safetensors is damaged here and cannot be fetched again: " + away);
  ASSERT_TRUE(store_->blobs().remove(store::sha256(weights_)).ok());
  fails(Errc::unavailable,
        "model.safetensors is missing here and cannot be fetched again: " + away);
  options_.reset();
  expect_recovery();
}

TEST_F(PullTest, FetchesAgainWhatSomebodyCutOrLengthened) {
  expect_recovery();
  const std::filesystem::path blob = *store_->blobs().path(store::sha256(weights_));
  for (const std::size_t size : {std::size_t{0}, weights_.size() - 1, weights_.size() + 1}) {
    SCOPED_TRACE(size);
    std::filesystem::permissions(blob, std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add);
    std::filesystem::resize_file(blob, size);
    expect_recovery();
  }
}

TEST_F(PullTest, RecoversFromWhatHappensOnTheWay) {
  struct Row {
    const char* name;
    Fault fault;
  };
  const Row kRows[] = {
      {"cut once", {.kind = FaultKind::cut, .times = 1, .bytes = 1234}},
      {"cut often", {.kind = FaultKind::cut, .bytes = 9000}},
      {"range ignored", {.kind = FaultKind::ignore_range}},
      {"address expires at once", {.kind = FaultKind::expire, .bytes = 1}},
      {"wrong bytes once", {.kind = FaultKind::wrong_bytes, .times = 1}},
      {"no length", {.kind = FaultKind::no_length}},
      {"busy storage", {.kind = FaultKind::status, .step = Step::data, .times = 3, .status = 503}},
      {"told to wait",
       {.kind = FaultKind::status,
        .step = Step::data,
        .times = 2,
        .status = 429,
        .headers = {{"Retry-After", "7"}}}},
      {"busy hub", {.kind = FaultKind::status, .step = Step::resolve, .times = 2, .status = 500}},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    hub_.behave();
    hub_.misbehave(kRepository, kWeights, row.fault);
    expect_recovery();
    ASSERT_TRUE(store_->remove("m:latest").ok());
  }
}

TEST_F(PullTest, RefusesWhatIsWrong) {
  struct Row {
    const char* name;
    Fault fault;
    Errc code;
    const char* words;
  };
  const Row kRows[] = {
      {"wrong bytes", {.kind = FaultKind::wrong_bytes}, Errc::corrupt, "digest mismatch"},
      {"wrong start", {.kind = FaultKind::wrong_start}, Errc::corrupt, "asked for bytes from"},
      {"encoded", {.kind = FaultKind::gzip}, Errc::corrupt, "encoded as gzip"},
      {"no commit", {.kind = FaultKind::no_commit}, Errc::corrupt, "no X-Repo-Commit"},
      {"login page", {.kind = FaultKind::login_page}, Errc::corrupt, "login page"},
      {"loop", {.kind = FaultKind::redirect_loop}, Errc::corrupt, "redirects"},
      {"file address",
       {.kind = FaultKind::redirect, .text = "file:///etc/passwd"},
       Errc::corrupt,
       "redirected to a file address"},
      {"storage down",
       {.kind = FaultKind::status, .step = Step::data, .status = 503},
       Errc::unavailable,
       "gave up after 6 tries"},
      {"forbidden", {.kind = FaultKind::status, .status = 403}, Errc::permission, "answered 403"},
      {"wait for a day",
       {.kind = FaultKind::status,
        .step = Step::data,
        .status = 429,
        .headers = {{"Retry-After", "86400"}}},
       Errc::unavailable,
       "the server asks to wait 86401 s"},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    hub_.behave();
    hub_.misbehave(kRepository, kWeights, row.fault);
    expect_failure(row.code, row.words);
  }
  hub_.behave();
  expect_recovery();
}

TEST_F(PullTest, TakesListingsThatAreNotCalledJson) {
  hub_.misbehave(kRepository, "", {.kind = FaultKind::plain_text});
  expect_recovery();
}

TEST_F(PullTest, RefusesListingsThatAreNone) {
  struct Row {
    const char* name;
    Fault fault;
    Errc code;
    const char* words;
  };
  const Row kRows[] = {
      {"login page",
       {.kind = FaultKind::login_page, .step = Step::api},
       Errc::corrupt,
       "the answer is no JSON (its Content-Type is text/html; charset=utf-8); a proxy or a login "
       "page is in between, or HF_ENDPOINT, http://127.0.0.1:"},
      {"page that is called JSON",
       {.kind = FaultKind::status,
        .step = Step::api,
        .status = 200,
        .headers = {{"Content-Type", "application/json"}},
        .text = "<html>"},
       Errc::corrupt,
       "the answer is no JSON (its Content-Type is application/json); "},
      {"endless", {.kind = FaultKind::endless_tree}, Errc::corrupt, "does not end"},
      {"elsewhere",
       {.kind = FaultKind::foreign_next, .text = "http://127.0.0.3:1/api"},
       Errc::corrupt,
       "continues on another host"},
      {"down",
       {.kind = FaultKind::status, .step = Step::api, .status = 502},
       Errc::unavailable,
       "gave up after 6 tries"},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    hub_.behave();
    hub_.misbehave(kRepository, "", row.fault);
    expect_failure(row.code, row.words);
    EXPECT_EQ(said_that_it_tries_again(), row.code == Errc::unavailable ? 5 : 0);
  }
}

TEST_F(PullTest, SaysWhyARepositoryIsNotToBeHad) {
  source_name_ = "org/missing";
  expect_failure(Errc::not_found, "org/missing does not exist on");
  source_name_ = kRepository;
  revision_ = "v9";
  expect_failure(Errc::not_found, "org/model has no branch, tag or commit 'v9'");
  revision_ = "main";
  hub_.set_access(kRepository, Access::gated);
  expect_failure(Errc::permission, "accept its terms at " + hub_.url() + "/org/model");
  hub_.set_access(kRepository, Access::needs_token);
  expect_failure(Errc::not_found, "set HF_TOKEN for a private repository");
  hub_.set_access(kRepository, Access::disabled);
  expect_failure(Errc::permission, "disabled");
}

TEST_F(PullTest, ShowsTheTokenToTheHubAlone) {
  hub_.set_access(kRepository, Access::gated);
  hub_.grant(kRepository, "hf_secret");
  options_ = options();
  options_->token = "hf_secret";
  expect_recovery();
  bool seen = false;
  for (const fakes::HubRequest& request : hub_.requests()) {
    EXPECT_EQ(request.has_authorization, request.host == "hub") << request.target;
    seen |= request.host == "cdn";
  }
  EXPECT_TRUE(seen);
}

TEST_F(PullTest, FollowsARenamedRepository) {
  hub_.rename(kRepository, "new-org/model");
  const Result<store::Manifest> pulled = pull();
  ASSERT_TRUE(pulled.ok()) << pulled.error().message;
  EXPECT_EQ(pulled->source, "new-org/model");
}

TEST_F(PullTest, OpensNoSocketWhenOffline) {
  options_ = options();
  options_->offline = true;
  expect_failure(Errc::unavailable, "HF_HUB_OFFLINE is set");
  EXPECT_TRUE(hub_.requests().empty());
}

TEST_F(PullTest, AsksBeforeTheWeightsCome) {
  accept_ = [](const FilesOnDisk& files) -> Status {
    EXPECT_TRUE(files.contains("config.json"));
    EXPECT_FALSE(files.contains(kWeights));
    return make_error(Errc::unsupported, "not this one");
  };
  expect_failure(Errc::unsupported, "not this one");
  for (const fakes::HubRequest& request : hub_.requests()) {
    EXPECT_EQ(request.target.find(kWeights), std::string::npos);
  }
}

// Cut after each tenth of the file; a new Store and a new source continue with the next.
TEST_F(PullTest, ContinuesWhereAnotherProcessStopped) {
  part_bytes_ = 1 << 30;  // one connection, so that every byte that came counts
  const std::uint64_t tenth_bytes = weights_.size() / 10;
  hub_.misbehave(kRepository, kWeights, {.kind = FaultKind::cut, .bytes = tenth_bytes});
  options_ = options();
  options_->retry.attempts_max = 1;
  for (std::uint64_t round = 1; round <= 9; ++round) {
    ASSERT_FALSE(pull().ok());
    EXPECT_EQ(store_->blobs().partial_bytes(store::sha256(weights_)), round * tenth_bytes);
    expect_nothing();
    store_.reset();
  }
  hub_.behave();
  expect_recovery();
  const std::string name = store::sha256(weights_).hex().substr(0, 12);
  const auto reread = std::find(said_.begin(), said_.end(), "verifying " + name);
  ASSERT_NE(reread, said_.end()) << "what was here was hashed without a word";
  EXPECT_NE(std::find(reread, said_.end(), "pulling " + name), said_.end());
}

TEST_F(PullTest, LetsTwoPullsOfOneModelBothSucceed) {
  store_ = *store::Store::open(dir_.path());
  std::vector<std::jthread> threads;
  std::atomic<int> succeeded = 0;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      if (pull().ok()) ++succeeded;
    });
  }
  threads.clear();
  EXPECT_EQ(succeeded, 3);
  expect_whole();
}

TEST_F(PullTest, StopsWhenTold) {
  hub_.misbehave(kRepository, kWeights, {.kind = FaultKind::slow, .bytes = 20'000});
  std::stop_source stop;
  std::jthread stopper([&] {
    ::usleep(200'000);
    stop.request_stop();
  });
  const Result<store::Manifest> pulled = pull(stop.get_token());
  ASSERT_FALSE(pulled.ok());
  EXPECT_EQ(pulled.error().code, Errc::cancelled);
  expect_nothing();
  hub_.behave();
  expect_recovery();
}

TEST_F(PullTest, SaysWhomItWaitsForWhenNobodyAnswers) {
  const SilentServer server;
  options_ = options();
  options_->endpoint = "http://" + server.host();
  EXPECT_EQ(stop_when_said("waiting for " + server.host() + " to answer"), Errc::cancelled);
}

TEST_F(PullTest, SaysWhomItWaitsForInTheMiddleOfAFile) {
  hub_.misbehave(kRepository, kWeights, {.kind = FaultKind::stall, .bytes = 1000});
  EXPECT_EQ(stop_when_said("waiting for " + host_of(hub_.cdn_url()) + " to answer"),
            Errc::cancelled);
}

TEST(HostOf, IsWhatAPersonWouldWrite) {
  EXPECT_EQ(host_of("https://huggingface.co/api/models/a/b"), "huggingface.co");
  EXPECT_EQ(host_of("http://127.0.0.1:8080/api"), "127.0.0.1:8080");
  EXPECT_EQ(host_of("http://mirror:80/"), "mirror");
  EXPECT_EQ(host_of("https://user:secret@mirror/api"), "mirror");
  EXPECT_EQ(host_of("nothing"), "");
}

TEST_F(PullTest, SurvivesBeingKilledAtAnyMoment) {
  for (int round = 0; round < 20; ++round) {
    const auto moment_us = static_cast<useconds_t>(random_() % 40'000);
    const pid_t child = ::fork();
    if (child == 0) {
      (void)pull();
      ::_exit(0);
    }
    ::usleep(moment_us);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    store_ = *store::Store::open(dir_.path());
    if (store_->find("m:latest").ok()) {
      expect_whole();
      ASSERT_TRUE(store_->remove("m:latest").ok());
    }
    store_.reset();
  }
  expect_recovery();
}

}  // namespace
}  // namespace glm::registry
