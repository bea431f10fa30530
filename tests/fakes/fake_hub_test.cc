#include "tests/fakes/fake_hub.h"

#include <gmock/gmock.h>
#include <httplib.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "store/sha256.h"
#include "tests/fakes/temp_dir.h"

namespace glm::fakes {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Json = nlohmann::json;

constexpr const char* kRepository = "org/Model";
constexpr const char* kSmall = "/org/Model/resolve/main/config.json";
constexpr const char* kLarge = "/org/Model/resolve/main/model.safetensors";

std::string pattern(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 31 + i / 251);
  return bytes;
}

std::string quoted(const std::string& text) {
  return std::string("\"").append(text).append("\"");
}

// A hub with one small and one large file, and what it says to plain HTTP requests.
class FakeHubTest : public testing::Test {
 protected:
  FakeHubTest() : FakeHubTest(HubOptions{}) {}
  explicit FakeHubTest(HubOptions options) : hub(options), client(hub.url()) {
    hub.add_file(kRepository, "config.json", "Hello, World!");
    hub.add_file(kRepository, "model.safetensors", weights);
  }

  httplib::Response get(const std::string& path, const httplib::Headers& headers = {}) {
    return answer(client.Get(path, headers));
  }
  httplib::Response head(const std::string& path) { return answer(client.Head(path)); }
  Json json(const std::string& path) { return Json::parse(get(path).body, nullptr, false); }

  // Resolves, then asks the other host; status -1 when the connection broke.
  httplib::Response get_large(const httplib::Headers& headers = {}) {
    return follow(head(kLarge).get_header_value("Location"), headers);
  }
  httplib::Response follow(const std::string& location, const httplib::Headers& headers = {}) {
    httplib::Client cdn(hub.cdn_url());
    EXPECT_THAT(location, testing::StartsWith(hub.cdn_url() + "/"));
    return answer(cdn.Get(location.substr(hub.cdn_url().size()), headers));
  }

  static httplib::Response answer(const httplib::Result& result) {
    httplib::Response broken;
    broken.status = -1;
    return result ? result.value() : broken;
  }

  const std::string weights = pattern(100'000);
  FakeHub hub;
  httplib::Client client;
};

TEST_F(FakeHubTest, TellsWhatARepositoryContainsWhateverTheCaseOfItsName) {
  const Json info = json("/api/models/ORG/mODEL/revision/main?blobs=true");
  EXPECT_EQ(info["id"], kRepository);
  EXPECT_EQ(info["sha"], hub.commit(kRepository));
  ASSERT_EQ(info["siblings"].size(), 2U);
  EXPECT_EQ(info["siblings"][0]["blobId"], "b45ef6fec89518d314f546fd6c3025367b721684");
  EXPECT_EQ(info["siblings"][1]["lfs"]["sha256"], store::sha256(weights).hex());
  EXPECT_EQ(info["siblings"][1]["size"], weights.size());
}

class FakeHubPages : public FakeHubTest {
 protected:
  FakeHubPages() : FakeHubTest({.tree_page_entries = 2}) {}
};

TEST_F(FakeHubPages, ListsATreeOverPages) {
  hub.add_file(kRepository, "sub/deep/x.txt", "x");
  std::vector<std::string> paths;
  std::string next = "/api/models/org/Model/tree/main?recursive=True&expand=False";
  int pages = 0;
  for (; !next.empty(); ++pages) {
    ASSERT_LT(pages, 10);
    const auto page = get(next);
    for (const Json& entry : Json::parse(page.body)) paths.push_back(entry["path"]);
    const std::string link = page.get_header_value("Link");
    next = link.empty() ? "" : link.substr(1, link.find('>') - 1).substr(hub.url().size());
  }
  EXPECT_EQ(pages, 3);
  EXPECT_THAT(paths,
              ElementsAre("config.json", "model.safetensors", "sub", "sub/deep", "sub/deep/x.txt"));
}

TEST_F(FakeHubTest, TellsSomePathsOnly) {
  const httplib::Params fields{{"paths", "config.json"}, {"paths", "none"}, {"expand", "False"}};
  const auto found = answer(client.Post("/api/models/org/Model/paths-info/main", fields));
  const Json entries = Json::parse(found.body, nullptr, false);
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0]["path"], "config.json");
}

TEST_F(FakeHubTest, AnswersSmallFilesItself) {
  const auto whole = get(kSmall);
  EXPECT_EQ(whole.status, 200);
  EXPECT_EQ(whole.body, "Hello, World!");
  EXPECT_EQ(whole.get_header_value("ETag"), "\"b45ef6fec89518d314f546fd6c3025367b721684\"");
  EXPECT_EQ(whole.get_header_value("X-Repo-Commit"), hub.commit(kRepository));
  EXPECT_EQ(head(kSmall).get_header_value("Content-Length"), "13");
}

TEST_F(FakeHubTest, RedirectsLargeFilesToTheOtherHost) {
  const auto told = head(kLarge);
  EXPECT_EQ(told.status, 302);
  EXPECT_EQ(told.get_header_value("X-Linked-Etag"), quoted(store::sha256(weights).hex()));
  EXPECT_EQ(told.get_header_value("X-Linked-Size"), "100000");
  EXPECT_EQ(get_large().body, weights);
  const auto log = hub.requests();
  ASSERT_EQ(log.size(), 3U);
  EXPECT_EQ(log[0].host, "hub");
  EXPECT_EQ(log[2].host, "cdn");
  EXPECT_FALSE(log[2].has_authorization);
}

TEST_F(FakeHubTest, RefusesATokenAtTheOtherHost) {
  EXPECT_EQ(get_large({{"Authorization", "Bearer t"}}).status, 400);
  EXPECT_TRUE(hub.requests().back().has_authorization);
}

struct RangeCase {
  const char* asked;
  int status;
  const char* content_range;
  std::size_t offset, length;
};

const RangeCase kRanges[] = {
    {"bytes=0-0", 206, "bytes 0-0/100000", 0, 1},
    {"bytes=5-9", 206, "bytes 5-9/100000", 5, 5},
    {"bytes=99999-", 206, "bytes 99999-99999/100000", 99999, 1},
    {"bytes=10-999999", 206, "bytes 10-99999/100000", 10, 99990},
    {"bytes=-7", 206, "bytes 99993-99999/100000", 99993, 7},
    {"bytes=100000-", 416, "bytes */100000", 0, 0},
};

TEST_F(FakeHubTest, ServesRanges) {
  for (const RangeCase& c : kRanges) {
    SCOPED_TRACE(c.asked);
    const auto part = get_large({{"Range", c.asked}});
    EXPECT_EQ(part.status, c.status);
    EXPECT_EQ(part.get_header_value("Content-Range"), c.content_range);
    EXPECT_EQ(part.body, weights.substr(c.offset, c.length));
  }
}

TEST_F(FakeHubTest, KeepsBranchesTagsAndEarlierCommits) {
  const std::string before = hub.commit(kRepository);
  hub.add_ref(kRepository, "refs/pr/1");
  hub.add_tag(kRepository, "v1");
  hub.add_file(kRepository, "config.json", "new");
  EXPECT_NE(hub.commit(kRepository), before);
  EXPECT_EQ(get(kSmall).body, "new");
  for (const std::string& revision : {std::string("refs%2Fpr%2F1"), std::string("v1"), before}) {
    EXPECT_EQ(get("/org/Model/resolve/" + revision + "/config.json").body, "Hello, World!");
  }
  const Json refs = json("/api/models/org/Model/refs?include_prs=1");
  EXPECT_EQ(refs["tags"][0]["name"], "v1");
  EXPECT_EQ(refs["pullRequests"][0]["targetCommit"], before);
}

struct RefusalCase {
  const char* path;
  const char* token;
  int status;
  const char* code;
  const char* message;
};

const RefusalCase kRefusals[] = {
    {"/org/none/resolve/main/x", "", 401, "", "Invalid username or password."},
    {"/org/none/resolve/main/x", "good", 404, "RepoNotFound", "Repository not found"},
    {"/api/models/org/none", "good", 404, "RepoNotFound", "Repository not found"},
    {"/org/Model/resolve/nope/x", "", 404, "RevisionNotFound", "Invalid rev id: nope"},
    {"/org/Model/resolve/main/x", "", 404, "EntryNotFound", "x does not exist on this revision"},
    {kSmall, "bad", 401, "", "Invalid credentials in Authorization header"},
    {"/org/private/resolve/main/x", "", 401, "", "Invalid username or password."},
    {"/org/private/resolve/main/x", "other", 404, "RepoNotFound", "Repository not found"},
    {"/org/private/resolve/main/x", "good", 200, "", ""},
    {"/api/models/org/gated", "", 200, "", ""},
    {"/org/gated/resolve/main/x", "", 401, "GatedRepo",
     "Access to model org/gated is restricted. You must have access to it and be authenticated to "
     "access it. Please log in."},
    {"/org/gated/resolve/main/x", "other", 403, "GatedRepo",
     "Access to model org/gated is restricted. You are not in the authorized list."},
    {"/org/gated/resolve/main/x", "good", 200, "", ""},
    {"/api/models/org/disabled", "", 403, "", "Access to this resource is disabled."},
};

TEST_F(FakeHubTest, RefusesAsTheHubDoes) {
  hub.add_token("other");
  hub.add_token("good");
  for (const auto& [id, access] :
       {std::pair("org/private", Access::needs_token), std::pair("org/gated", Access::gated),
        std::pair("org/disabled", Access::disabled)}) {
    hub.add_file(id, "x", "x");
    hub.set_access(id, access);
    hub.grant(id, "good");
  }
  for (const RefusalCase& c : kRefusals) {
    SCOPED_TRACE(testing::Message() << c.path << " with token '" << c.token << "'");
    httplib::Headers headers;
    if (*c.token != 0) headers = {{"Authorization", std::string("Bearer ") + c.token}};
    const auto refused = get(c.path, headers);
    EXPECT_EQ(refused.status, c.status);
    EXPECT_EQ(refused.get_header_value("X-Error-Code"), c.code);
    EXPECT_EQ(refused.get_header_value("X-Error-Message"), c.message);
  }
}

TEST_F(FakeHubTest, SendsRenamedRepositoriesOnWithTheirQuery) {
  hub.rename("org/Model", "new/Name");
  // The client of this test decodes what it finds in headers, once.
  EXPECT_EQ(get("/org/model/resolve/refs%2Fpr%2F1/100%2525?x=%252F").get_header_value("Location"),
            "/new/Name/resolve/refs/pr/1/100%25?x=%2F");
  const auto info = get("/api/models/org/Model?blobs=true");
  EXPECT_EQ(info.status, 307);
  EXPECT_EQ(info.get_header_value("Location"), "/api/models/new/Name?blobs=true");
  EXPECT_EQ(json("/api/models/new/name")["id"], "new/Name");
}

class FakeHubCache : public FakeHubTest {
 protected:
  FakeHubCache() : FakeHubTest({.small_files = SmallFiles::resolve_cache}) {}
};

TEST_F(FakeHubCache, AnswersSmallFilesInTwoStepsOfWhichTheQueryMatters) {
  const auto first = get(kSmall);
  EXPECT_EQ(first.status, 307);
  const std::string location = first.get_header_value("Location");
  EXPECT_EQ(location.substr(0, 27), "/api/resolve-cache/models/o");
  EXPECT_EQ(get(location).body, "Hello, World!");
  EXPECT_EQ(get(location).get_header_value("X-Repo-Commit"), hub.commit(kRepository));
  EXPECT_EQ(get(location.substr(0, location.find('?'))).status, 400);
}

TEST_F(FakeHubTest, FailsTheFirstRequestsOnly) {
  hub.misbehave(kRepository, "config.json",
                {.kind = FaultKind::status,
                 .skip = 1,
                 .times = 2,
                 .status = 429,
                 .headers = {{"Retry-After", "3"}, {"RateLimit", "\"resolvers\";r=0;t=3"}}});
  EXPECT_EQ(get(kSmall).status, 200);
  EXPECT_EQ(get(kSmall).get_header_value("Retry-After"), "3");
  EXPECT_EQ(get(kSmall).status, 429);
  EXPECT_EQ(get(kSmall).status, 200);
}

TEST_F(FakeHubTest, FailsListingsAtTheirStep) {
  hub.misbehave(kRepository, "", {.step = Step::api, .times = 1, .status = 503});
  EXPECT_EQ(get(kSmall).status, 200);
  EXPECT_EQ(get("/api/models/org/Model").status, 503);
  EXPECT_EQ(get("/api/models/org/Model").status, 200);
}

TEST_F(FakeHubTest, CutsBodies) {
  hub.misbehave(kRepository, "model.safetensors",
                {.kind = FaultKind::cut, .times = 1, .bytes = 40'000});
  std::string received;
  httplib::Client cdn(hub.cdn_url());
  const std::string location = head(kLarge).get_header_value("Location");
  const auto cut =
      cdn.Get(location.substr(hub.cdn_url().size()), [&](const char* data, std::size_t size) {
        received.append(data, size);
        return true;
      });
  EXPECT_FALSE(cut);
  EXPECT_EQ(received, weights.substr(0, 40'000));
  EXPECT_EQ(get_large().body, weights);
}

TEST_F(FakeHubTest, LetsSignedAddressesExpire) {
  hub.misbehave(kRepository, "model.safetensors", {.kind = FaultKind::expire, .bytes = 2});
  const std::string location = head(kLarge).get_header_value("Location");
  EXPECT_EQ(follow(location, {{"Range", "bytes=0-9"}}).status, 206);
  EXPECT_EQ(follow(location, {{"Range", "bytes=10-19"}}).status, 206);
  const auto expired = follow(location);
  EXPECT_EQ(expired.status, 403);
  EXPECT_THAT(expired.body, HasSubstr("<Message>Request has expired</Message>"));
  EXPECT_EQ(get_large().status, 200);
}

TEST_F(FakeHubTest, TreatsRangesWrongly) {
  hub.misbehave(kRepository, "model.safetensors", {.kind = FaultKind::ignore_range, .times = 1});
  hub.misbehave(kRepository, "model.safetensors",
                {.kind = FaultKind::wrong_start, .skip = 1, .times = 1});
  const auto whole = get_large({{"Range", "bytes=5-9"}});
  EXPECT_EQ(whole.status, 200);
  EXPECT_EQ(whole.body, weights);
  const auto early = get_large({{"Range", "bytes=5-9"}});
  EXPECT_EQ(early.status, 206);
  EXPECT_EQ(early.get_header_value("Content-Range"), "bytes 4-9/100000");
  EXPECT_EQ(early.body, weights.substr(4, 6));
}

TEST_F(FakeHubTest, SpoilsBytesButNotTheirNumber) {
  hub.misbehave(kRepository, "model.safetensors", {.kind = FaultKind::wrong_bytes, .times = 1});
  const auto wrong = get_large();
  EXPECT_EQ(wrong.body.size(), weights.size());
  EXPECT_NE(wrong.body, weights);
  EXPECT_EQ(wrong.body.substr(1), weights.substr(1));
  EXPECT_EQ(get_large().body, weights);
}

TEST_F(FakeHubTest, CompressesUnasked) {
  hub.misbehave(kRepository, "model.safetensors", {.kind = FaultKind::gzip});
  const auto zipped = get_large({{"Accept-Encoding", "identity"}});
  EXPECT_EQ(zipped.get_header_value("Content-Encoding"), "gzip");
  EXPECT_EQ(zipped.body, weights);  // the client of this test unpacks
}

TEST_F(FakeHubTest, SendsWithoutALength) {
  hub.misbehave(kRepository, "model.safetensors", {.kind = FaultKind::no_length});
  const auto unsized = get_large();
  EXPECT_FALSE(unsized.has_header("Content-Length"));
  EXPECT_EQ(unsized.body, weights);
}

TEST_F(FakeHubTest, TakesItsTime) {
  hub.misbehave(kRepository, "config.json", {.kind = FaultKind::slow, .bytes = 130});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(get(kSmall).body, "Hello, World!");
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(90));
}

TEST_F(FakeHubTest, LiesAboutIdentity) {
  hub.misbehave(kRepository, "", {.kind = FaultKind::no_commit});
  hub.misbehave(kRepository, "config.json", {.kind = FaultKind::wrong_etag});
  hub.misbehave(kRepository, "model.safetensors", {.kind = FaultKind::wrong_size, .bytes = 1});
  const auto small = head(kSmall);
  EXPECT_FALSE(small.has_header("X-Repo-Commit"));
  EXPECT_EQ(small.get_header_value("ETag"), quoted(std::string(40, '0')));
  EXPECT_EQ(head(kLarge).get_header_value("X-Linked-Size"), "100001");
  hub.behave();
  EXPECT_TRUE(head(kSmall).has_header("X-Repo-Commit"));
}

TEST_F(FakeHubTest, LeadsAstray) {
  hub.misbehave(kRepository, "", {.kind = FaultKind::login_page});
  EXPECT_THAT(get(kSmall).body, HasSubstr("<!DOCTYPE html>"));
  hub.behave();
  hub.misbehave(kRepository, "", {.kind = FaultKind::redirect, .text = "file:///etc/passwd"});
  EXPECT_EQ(get(kSmall).get_header_value("Location"), "file:///etc/passwd");
  hub.behave();
  hub.misbehave(kRepository, "", {.kind = FaultKind::redirect_loop});
  EXPECT_EQ(get(kSmall).get_header_value("Location"), kSmall);
  hub.behave();
  hub.misbehave(kRepository, "", {.kind = FaultKind::foreign_next, .text = "http://evil.test/"});
  EXPECT_EQ(get("/api/models/org/Model/tree/main").get_header_value("Link"),
            "<http://evil.test/>; rel=\"next\"");
}

TEST_F(FakeHubTest, ServesFoldersFromDiskAndLeavesDotFilesOut) {
  const TempDir folder;
  std::filesystem::create_directories(folder.path() / "sub");
  std::filesystem::create_directories(folder.path() / ".git");
  for (const char* name : {"sub/a b#%.txt", ".hidden", ".git/config"}) {
    std::ofstream(folder.path() / name) << "text";
  }
  std::ofstream(folder.path() / "big.bin", std::ios::binary) << weights;
  hub.add_folder("org/disk", folder.path());
  EXPECT_EQ(json("/api/models/org/disk")["siblings"].size(), 2U);
  EXPECT_EQ(get("/org/disk/resolve/main/sub/a%20b%23%25.txt").body, "text");
  const auto told = head("/org/disk/resolve/main/big.bin");
  EXPECT_EQ(follow(told.get_header_value("Location")).body, weights);
}

TEST_F(FakeHubTest, AnswersManyAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&] {
      httplib::Client one(hub.url());
      for (int round = 0; round < 20; ++round) {
        const auto small = one.Get(kSmall);
        if (small && small->body == "Hello, World!") ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 320);
}

}  // namespace
}  // namespace glm::fakes
