// glm show of models that were not pulled: the program, its daemon and a hub that counts what it is
// asked for. The weights behind the headers do not exist.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "tests/cli/glm_process.h"
#include "tests/fakes/dossiers/dossier.h"
#include "tests/fakes/fake_daemon.h"
#include "tests/fakes/fake_hub.h"

namespace glm::testing {
namespace {

using fakes::Dossier;
using nlohmann::json;
using ::testing::HasSubstr;

std::string length_of(std::uint64_t bytes) {
  std::string prefix;
  for (int shift = 0; shift < 64; shift += 8) prefix += static_cast<char>(bytes >> shift & 0xFF);
  return prefix;
}

// A port that was free a moment ago.
std::string free_host() {
  fakes::FakeDaemon daemon;
  std::string host = daemon.host();
  daemon.stop();
  return host;
}

class ShowRemote : public ::testing::Test {
 protected:
  ~ShowRemote() override { glm({"stop", "--all"}); }

  Ran glm(std::vector<std::string> arguments) {
    return run_glm({.arguments = std::move(arguments),
                    .input = {},
                    .environment = {{"GLM_HOST", host_},
                                    {"GLM_HOME", home_.path().string()},
                                    {"HF_ENDPOINT", hub_.url()},
                                    {"HF_HOME", home_.path().string()},
                                    {"HF_TOKEN", ""}}});
  }

  enum class Tokenizer { present, missing };

  void host(const Dossier& dossier, Tokenizer tokenizer = Tokenizer::present) {
    for (const auto& [name, text] : dossier.small_files) {
      hub_.add_file(dossier.repository, name, text);
    }
    if (tokenizer == Tokenizer::present) {
      hub_.add_file(dossier.repository, "tokenizer.json", "{}");  // that nobody reads
    }
    for (const runner::ShardHeader& shard : dossier.shards) {
      hub_.add_hollow_file(dossier.repository, shard.name,
                           length_of(shard.header.size()) + shard.header, shard.file_bytes);
    }
  }

  // Bytes of files that the hub was asked for; without a range it would be everything.
  std::uint64_t asked_bytes() const {
    std::uint64_t sum = 0;
    for (const fakes::HubRequest& request : hub_.requests()) {
      const bool of_a_file = request.host == "cdn" || request.target.starts_with("/api/") == false;
      if (request.method != "GET" || !of_a_file) continue;
      std::uint64_t first = 0, last = std::uint64_t{1} << 40;
      if (request.range.starts_with("bytes=")) {
        const char* end = request.range.data() + request.range.size();
        const auto [dash, bad] = std::from_chars(request.range.data() + 6, end, first);
        if (bad == std::errc()) (void)std::from_chars(dash + 1, end, last);
      }
      sum += last - first + 1;
    }
    return sum;
  }

  fakes::FakeHub hub_;
  const TempFolder home_;
  const std::string host_ = free_host();
};

Dossier cyankiwi() {
  for (const fakes::DossierRow& row : fakes::flash_dossiers()) {
    if (row.name == "glm-4.7-flash-cyankiwi-awq-4bit") return row.build();
  }
  return {};
}

TEST_F(ShowRemote, ReadsHeadersOfAModelThatWasNotPulled) {
  const Dossier dossier = cyankiwi();
  host(dossier);
  const Ran ran = glm({"show", "--json", dossier.repository});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  const json show = json::parse(ran.out);
  EXPECT_EQ(show["pulled"], false);
  EXPECT_EQ(show["source"], dossier.repository);
  EXPECT_EQ(show["commit"], hub_.commit(dossier.repository));
  EXPECT_EQ(show["size"], dossier.file_bytes());
  EXPECT_EQ(show["model_info"]["format"], "int4 g32 (compressed-tensors)");
  EXPECT_EQ(show["model_info"]["weight_bytes"], 20'166'726'064U);
  EXPECT_EQ(show["model_info"]["tensors"], 28'221U);
  EXPECT_FALSE(show["model_info"].contains("refusal"));

  std::uint64_t wanted = 0;
  for (const runner::ShardHeader& shard : dossier.shards) wanted += 8 + shard.header.size();
  for (const auto& [name, text] : dossier.small_files) wanted += text.size();
  EXPECT_EQ(show["bytes_read"], wanted);
  EXPECT_EQ(asked_bytes(), wanted);
  EXPECT_LT(wanted, dossier.file_bytes() / 1000);

  const Ran page = glm({"show", dossier.repository});
  EXPECT_EQ(page.exit_code, 0);
  EXPECT_THAT(page.out, HasSubstr("    pulled        not pulled\n"));
  EXPECT_THAT(page.out, HasSubstr("8832 modules    15.6 GB\n"));
}

TEST_F(ShowRemote, PlansForHardwareThatIsNotHere) {
  const Dossier dossier = cyankiwi();
  host(dossier);
  const Ran ran = glm({"show", "--plan", "--json", "--hardware", "rtx-4090", dossier.repository});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  const json plan = json::parse(ran.out);
  EXPECT_EQ(plan["device"], "cuda:0");
  const json& memory = plan["memory"];
  EXPECT_LE(
      memory["weight_bytes"].get<std::uint64_t>() + memory["workspace_bytes"].get<std::uint64_t>() +
          memory["graph_bytes"].get<std::uint64_t>() + memory["page_bytes"].get<std::uint64_t>(),
      memory["available_bytes"].get<std::uint64_t>());
  EXPECT_GT(plan["context_max"], 50'000);
  EXPECT_LT(plan["context_max"], 100'000);

  const Ran page = glm({"show", "--plan", "--hardware", "h200", dossier.repository});
  EXPECT_EQ(page.exit_code, 0);
  EXPECT_THAT(page.out, HasSubstr("the model's own\n"));

  const Ran refused = glm({"show", "--plan", "--hardware", "rtx-4080", dossier.repository});
  EXPECT_EQ(refused.exit_code, 9);
  EXPECT_THAT(refused.err, HasSubstr("what would fit: a GPU such as NVIDIA L4 (24.2 GB)\n"));
}

TEST_F(ShowRemote, TellsThatTheTokenizerIsMissing) {
  const Dossier dossier = cyankiwi();
  host(dossier, Tokenizer::missing);
  const Ran ran = glm({"show", dossier.repository});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_THAT(ran.out, HasSubstr("  glm cannot run this: it has no tokenizer.json"));
}

TEST_F(ShowRemote, TellsWhatCannotRunAndWhy) {
  Dossier dossier{.repository = "org/other", .small_files = {}, .tensors = {}, .shards = {}};
  dossier.small_files["config.json"] =
      R"({"model_type": "glm_moe_dsa", "num_hidden_layers": 1, "dtype": "bfloat16",
          "max_position_embeddings": 4096})";
  dossier.tensors = {{"model.embed_tokens.weight", "BF16", {1000, 64}},
                     {"model.layers.0.self_attn.o_proj.weight", "BF16", {64, 64}}};
  fakes::shard(dossier, {});
  host(dossier);
  const Ran ran = glm({"show", "org/other"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_THAT(ran.out, HasSubstr("    architecture      glm_moe_dsa\n"));
  EXPECT_THAT(ran.out, HasSubstr("  glm cannot run this: architecture 'glm_moe_dsa' is not"));
  EXPECT_THAT(ran.out, HasSubstr("    attention     bf16    1 module    8.2 kB\n"));

  hub_.add_file("org/gguf", "model-Q4_K_M.gguf", "GGUF");
  const Ran gguf = glm({"show", "org/gguf"});
  EXPECT_EQ(gguf.exit_code, 0);
  EXPECT_THAT(gguf.out, HasSubstr("glm cannot run this: org/gguf has no safetensors weights: it "
                                  "holds GGUF files"));
}

TEST_F(ShowRemote, SaysWhatIsNowhere) {
  const Ran nowhere = glm({"show", "org/nowhere"});
  EXPECT_EQ(nowhere.exit_code, 3);
  EXPECT_THAT(nowhere.err,
              HasSubstr("model \"org/nowhere\" not found: org/nowhere does not exist"));
  const Ran unknown = glm({"show", "no-such-model"});
  EXPECT_EQ(unknown.exit_code, 3);
  EXPECT_THAT(unknown.err, HasSubstr("model \"no-such-model\" not found"));
}

}  // namespace
}  // namespace glm::testing
