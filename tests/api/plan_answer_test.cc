// The plan that is told is the one a load with the same Modelfile would make.
#include "cmd/api/plan_answer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "modelfiles/parser.h"

namespace glm::api {
namespace {

runner::ModelFacts facts(std::int64_t kv_rank) {
  runner::ModelFacts facts;
  facts.architecture = "some_architecture";
  facts.context_max = 1'000'000;
  facts.config.layers = 40;
  facts.config.mla.kv_rank = kv_rank;
  facts.config.mla.rope_dim = 64;
  return facts;
}

Result<nlohmann::ordered_json> answer(std::int64_t kv_rank, const std::string& parameters) {
  PlanRequest request;
  request.hardware.device = "cuda:0";
  request.hardware.memory_total_bytes = request.hardware.memory_free_bytes = 24ULL << 30;
  const modelfiles::Modelfile modelfile = modelfiles::parse("FROM a/b\n" + parameters, "m").value();
  return plan_answer(request, facts(kv_rank), modelfile, "");
}

TEST(PlanAnswer, TakesContextAndFormatOfPagesFromTheModelfile) {
  const auto plain = answer(512, "").value();
  const auto fp8 = answer(512, "PARAMETER kv_cache_type fp8\n").value();
  EXPECT_EQ(plain["kv_format"], "bf16");
  EXPECT_EQ(fp8["kv_format"], "fp8");
  const double ratio = fp8["pages"].get<double>() / plain["pages"].get<double>();
  EXPECT_NEAR(ratio, 1152.0 / 656.0, 0.001) << "bytes of a row in one and the other";
  EXPECT_EQ(answer(512, "PARAMETER num_ctx 1234\n").value()["context_max"], 1234);
}

TEST(PlanAnswer, RefusesWhatALoadRefuses) {
  const auto refused = answer(0, "PARAMETER kv_cache_type fp8\n");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::unsupported);
  EXPECT_EQ(refused.error().message,
            "kv_cache_type fp8: it is for architectures that cache a latent, some_architecture "
            "caches keys and values; run it with bf16");
}

}  // namespace
}  // namespace glm::api
