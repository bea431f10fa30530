// The table of hardware, and facts on their way through JSON.
#include "runner/plan/hardware.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "runner/plan/hardware_json.h"

namespace glm::runner {
namespace {

using Json = nlohmann::ordered_json;

TEST(KnownHardware, HasEveryKeyOnceAndRisesInMemory) {
  std::set<std::string_view> keys;
  std::uint64_t memory_mib = 0;
  for (const KnownHardware& row : known_hardware()) {
    EXPECT_TRUE(keys.insert(row.key).second) << row.key;
    EXPECT_GE(row.memory_mib, memory_mib) << row.key;
    memory_mib = row.memory_mib;
    EXPECT_GT(row.bandwidth_gb_per_s, 0) << row.key;
    EXPECT_GE(row.compute_major, 8) << row.key;
    EXPECT_LT(facts_of(row).memory_free_bytes, facts_of(row).memory_total_bytes) << row.key;
  }
}

TEST(KnownHardware, IsFoundByItsKey) {
  const HardwareFacts spark = hardware_named("dgx-spark").value();
  EXPECT_EQ(spark.memory, MemoryKind::unified);
  EXPECT_EQ(hardware_named("rtx-4090")->memory_total_bytes, 24'564ULL << 20U);
  const std::string message = hardware_named("rtx-4900").error().message;
  EXPECT_EQ(message.substr(0, message.find("; known are")),
            "no hardware 'rtx-4900' is known; did you mean 'rtx-4090'?");
}

TEST(HardwareJson, BringsBackWhatWentIn) {
  for (const KnownHardware& row : known_hardware()) {
    HardwareFacts facts = facts_of(row);
    facts.host_free_bytes = 12'345'678;
    const HardwareFacts back = hardware_from_json(to_json(facts)).value();
    EXPECT_EQ(to_json(back), to_json(facts));
    EXPECT_EQ(back.name, facts.name);
    EXPECT_EQ(back.memory, facts.memory);
    EXPECT_EQ(back.memory_free_bytes, facts.memory_free_bytes);
    EXPECT_EQ(back.compute_minor, facts.compute_minor);
  }
}

TEST(HardwareJson, MayTellAsLittleAsADeviceAndItsMemory) {
  const auto facts_from = [](const char* json) {
    return hardware_from_json(Json::parse(json)).value();
  };
  const HardwareFacts gpu = facts_from(R"({"device": "cuda:0", "memory_total_bytes": 24})");
  EXPECT_EQ(gpu.memory, MemoryKind::of_a_device);
  EXPECT_EQ(gpu.memory_total_bytes, 24U);
  EXPECT_EQ(gpu.memory_free_bytes, 24U);
  const HardwareFacts cpu = facts_from(R"({"device": "cpu", "memory_free_bytes": 7})");
  EXPECT_EQ(cpu.memory, MemoryKind::of_the_host);
  EXPECT_EQ(cpu.memory_total_bytes, 7U);
  EXPECT_EQ(cpu.memory_free_bytes, 7U);
  const HardwareFacts full =
      facts_from(R"({"device": "cuda:1", "memory_total_bytes": 24, "memory_free_bytes": 0})");
  EXPECT_EQ(full.memory_free_bytes, 0U);
}

struct WrongCase {
  const char* name;
  const char* json;
  const char* want;
};

const WrongCase kWrong[] = {
    {"no_object", "[]", "hardware wants an object"},
    {"no_device", R"({"memory": "host"})",
     "hardware: device wants a text such as \"cuda:0\" or \"cpu\""},
    {"no_kind", R"({"device": "cpu", "memory": "tape"})",
     "hardware: memory wants \"device\", \"unified\" or \"host\""},
    {"no_memory", R"({"device": "cuda:0", "memory": "device"})",
     "hardware: memory_total_bytes wants how much memory there is"},
    {"negative", R"({"device": "cpu", "memory": "host", "memory_total_bytes": -1})",
     "hardware: memory_total_bytes wants a number of 0 or more"},
    {"text_for_number", R"({"device": "cpu", "memory": "host", "host_free_bytes": "much"})",
     "hardware: host_free_bytes wants a number of 0 or more"},
    {"more_free_than_there_is",
     R"({"device": "cpu", "memory": "host", "memory_total_bytes": 1, "memory_free_bytes": 2})",
     "hardware: memory_free_bytes wants no more than memory_total_bytes"},
    {"capability", R"({"device": "cuda:0", "memory": "device", "compute_capability": "9"})",
     "hardware: compute_capability wants a text such as \"9.0\""},
};

class HardwareJsonErrors : public testing::TestWithParam<WrongCase> {};

TEST_P(HardwareJsonErrors, NameTheField) {
  const auto facts = hardware_from_json(Json::parse(GetParam().json));
  ASSERT_FALSE(facts.ok());
  EXPECT_EQ(facts.error().code, Errc::invalid_argument);
  EXPECT_EQ(facts.error().message, GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(All, HardwareJsonErrors, testing::ValuesIn(kWrong),
                         [](const auto& test) { return test.param.name; });

TEST(Hardware, IsWithoutWhatOthersWerePromisedOfTheHost) {
  HardwareFacts facts;
  facts.memory = MemoryKind::of_the_host;
  facts.memory_total_bytes = 100;
  facts.memory_free_bytes = 60;
  EXPECT_EQ(without_promised(facts, 20).memory_free_bytes, 40u);
  EXPECT_EQ(without_promised(facts, 70).memory_free_bytes, 0u);
  facts.memory = MemoryKind::of_a_device;
  EXPECT_EQ(without_promised(facts, 20).memory_free_bytes, 60u);
}

}  // namespace
}  // namespace glm::runner
