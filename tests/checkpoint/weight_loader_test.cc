// Loading by way of memory that a device copies from, against loading straight into memory; and
// what comes of failures, stops and weights nobody waits for. Formats have tests of their own.
#include "runner/checkpoint/weight_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <random>

#include "tests/fakes/forwarding_ops.h"
#include "tests/fakes/tiny_random_model.h"

namespace glm::runner {
namespace {

using fakes::FakeTensors;
using kernels::Ops;
using kernels::Uploader;

// Copies at the last moment, then spoils what was copied from: whoever writes too early or waits
// too late is seen.
class LateUploader final : public Uploader {
 public:
  LateUploader(std::size_t size_bytes, std::atomic<int>& sends_left)
      : memory_(size_bytes), sends_left_(sends_left) {}

  std::span<std::byte> memory() override { return memory_; }
  void send(void* target, std::span<const std::byte> source) override {
    pending_.push_back({target, source});
  }
  Status wait() override {
    for (const auto& [target, source] : pending_) {
      if (sends_left_-- <= 0) return make_error(Errc::device, "upload: the cable is loose");
      std::memcpy(target, source.data(), source.size());
    }
    pending_.clear();
    std::fill(memory_.begin(), memory_.end(), std::byte{0xAA});
    return Ok{};
  }

 private:
  struct Send {
    void* target;
    std::span<const std::byte> source;
  };
  std::vector<std::byte> memory_;
  std::vector<Send> pending_;
  std::atomic<int>& sends_left_;
};

class StagedOps final : public fakes::ForwardingOps {
 public:
  StagedOps(std::size_t memory_bytes, int sends)
      : ForwardingOps(kernels::make_cpu_ops(1)), memory_bytes_(memory_bytes), sends_left_(sends) {}

  Result<std::unique_ptr<Uploader>> make_uploader(std::uint64_t size_bytes) override {
    const auto size = static_cast<std::size_t>(size_bytes);
    return std::unique_ptr<Uploader>(
        std::make_unique<LateUploader>(std::min(size, memory_bytes_), sends_left_));
  }

 private:
  std::size_t memory_bytes_;
  std::atomic<int> sends_left_;
};

constexpr std::size_t kAllOfIt = 1U << 30U;
constexpr int kAnyNumber = 1 << 30;

class Loading : public testing::Test {
 protected:
  void write(const FakeTensors& tensors) {
    fakes::write_safetensors(folder_.path() / "model.safetensors", tensors);
    checkpoint_ = std::make_unique<Checkpoint>(
        std::move(Checkpoint::open(std::move(files_in(folder_.path())).value())).value());
  }

  std::vector<float> random(std::int64_t count) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < count; ++i) {
      values.push_back(static_cast<float>(engine_() % 256) / 128.0F - 1.0F);
    }
    return values;
  }

  // <module>.0, .1, … in NVFP4, all of [6, 32].
  void add_nvfp4(FakeTensors& tensors, const std::string& module, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
      std::vector<std::uint8_t> data(6 * 16);
      for (std::uint8_t& byte : data) byte = static_cast<std::uint8_t>(engine_());
      const std::string name = fmt::format("{}.{}", module, i);
      tensors[name + ".weight"] = fakes::byte_tensor("U8", {6, 16}, data);
      tensors[name + ".weight_scale"] =
          fakes::byte_tensor("F8_E4M3", {6, 2}, std::vector<std::uint8_t>(12, 0x38));
      tensors[name + ".weight_scale_2"] = fakes::f32_tensor({}, {0.5F});
    }
  }
  static void break_scale(FakeTensors& tensors, const std::string& module) {
    tensors.at(module + ".weight_scale").bytes[3] = std::byte{0x7F};
  }

  // Every byte of every weight of a small checkpoint, loaded in whatever way `ops` has it.
  std::vector<std::byte> load_all(Ops& ops) {
    WeightLoader loader(*checkpoint_, quantization_, ops, {}, {});
    std::vector<DeviceWeight> weights;
    const auto take = [&](Result<DeviceWeight> weight) {
      EXPECT_TRUE(weight.ok()) << weight.error().message;
      if (weight.ok()) weights.push_back(*weight);
    };
    take(loader.weight("plain", {37, 19}));
    take(loader.experts("packed", "up", 5, {6, 32}));
    take(loader.experts("mixed", "up", 2, {6, 32}));
    for (const std::int64_t first : {0, 4}) {
      take(loader.fused_experts(
          {.tensor = "fused", .experts = 3, .fused_rows = 8, .first_row = first, .shape = {4, 7}}));
    }
    const Status finished = loader.finish();
    EXPECT_TRUE(finished.ok()) << finished.error().message;
    EXPECT_THAT(loader.notes(), testing::IsEmpty());
    std::vector<std::byte> bytes;
    for (const DeviceWeight& weight : weights) {
      for (std::int64_t e = 0; e < weight.experts().experts; ++e) {
        for (const std::span<std::byte> part : weight.parts(e)) {
          bytes.insert(bytes.end(), part.begin(), part.end());
        }
      }
    }
    return bytes;
  }
  FakeTensors small_checkpoint() {
    FakeTensors tensors;
    tensors["plain.weight"] = fakes::f32_tensor({37, 19}, random(37 * 19));
    FakeTensors packed;
    add_nvfp4(packed, "m", 6);
    for (const auto& [name, tensor] : packed) {
      const char number = name[2];
      const std::string suffix = name.substr(3);
      tensors[number == '5' ? "mixed.0.up" + suffix
                            : fmt::format("packed.{}.up{}", number, suffix)] = tensor;
    }
    tensors["mixed.1.up.weight"] = fakes::bf16_tensor({6, 32}, random(6 * 32));
    tensors["fused"] = fakes::bf16_tensor({3, 8, 7}, random(3 * 8 * 7));
    return tensors;
  }

  std::mt19937 engine_{std::random_device{}()};
  fakes::TemporaryFolder folder_;
  std::unique_ptr<Checkpoint> checkpoint_;
  Quantization quantization_;
};

TEST_F(Loading, GivesTheSameBytesByWayOfStagingMemory) {
  const FakeTensors tensors = small_checkpoint();
  write(tensors);
  const std::unique_ptr<Ops> direct = kernels::make_cpu_ops(1);
  const std::vector<std::byte> wanted = load_all(*direct);
  const auto& fused = tensors.at("fused").bytes;
  EXPECT_TRUE(std::equal(fused.end() - 4 * 7 * 2, fused.end(), wanted.end() - 4 * 7 * 2));
  StagedOps staged(kAllOfIt, kAnyNumber);
  EXPECT_EQ(load_all(staged), wanted);
  StagedOps narrow(100, kAnyNumber);  // hardly anything fits
  EXPECT_EQ(load_all(narrow), wanted);
}

TEST_F(Loading, StacksWhatIsStoredAlike) {
  FakeTensors tensors;
  const std::vector<float> first = random(5 * 12);
  const std::vector<float> second = random(7 * 12);
  tensors["a.weight"] = fakes::f32_tensor({5, 12}, first);
  tensors["b.weight"] = fakes::f32_tensor({7, 12}, second);
  tensors["other.weight"] = fakes::bf16_tensor({7, 12}, second);
  add_nvfp4(tensors, "scaled", 2);
  write(tensors);
  for (const bool staged : {false, true}) {
    StagedOps late(kAllOfIt, kAnyNumber);
    const std::unique_ptr<Ops> direct = kernels::make_cpu_ops(1);
    Ops& ops = staged ? static_cast<Ops&>(late) : *direct;
    WeightLoader loader(*checkpoint_, quantization_, ops, {}, {});
    const auto one = loader.stacked({{"a", 5}, {"b", 7}}, 12);
    const auto unlike = loader.stacked({{"a", 5}, {"other", 7}}, 12);
    const auto scaled = loader.stacked({{"scaled.0", 6}, {"scaled.1", 6}}, 32);
    ASSERT_TRUE(one.ok() && unlike.ok() && scaled.ok());
    ASSERT_TRUE(loader.finish().ok());
    ASSERT_EQ(one->size(), 1U);
    EXPECT_EQ(one->front().layout().rows, 12);
    std::vector<float> rows(12 * 12);
    kernels::decode_rows(one->front().view(), 0, 12, rows);
    std::vector<float> wanted = first;
    wanted.insert(wanted.end(), second.begin(), second.end());
    EXPECT_EQ(rows, wanted);
    ASSERT_EQ(unlike->size(), 2U);
    EXPECT_EQ((*unlike)[1].layout().rows, 7);
    EXPECT_EQ(scaled->size(), 2U);  // each has a global scale of its own
  }
}

TEST_F(Loading, CutsALargePlainWeightIntoPieces) {
  const std::int64_t cols = static_cast<std::int64_t>(LoadLane::kMemoryBytes) / 4 + 5;
  const std::vector<float> values = random(2 * cols);
  write({{"m.weight", fakes::f32_tensor({2, cols}, values)}});
  StagedOps ops(kAllOfIt, kAnyNumber);
  std::vector<LoadProgress> seen;
  WeightLoader loader(*checkpoint_, quantization_, ops,
                      [&](const LoadProgress& progress) { seen.push_back(progress); }, {});
  const auto weight = loader.weight("m", {2, cols});
  ASSERT_TRUE(weight.ok());
  ASSERT_TRUE(loader.finish().ok());
  EXPECT_EQ(std::memcmp(weight->view().data, values.data(), values.size() * 4), 0);
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.back().completed_bytes, values.size() * 4);
  EXPECT_EQ(seen.back().total_bytes, values.size() * 4);
  for (std::size_t i = 1; i < seen.size(); ++i) {
    EXPECT_GE(seen[i].completed_bytes, seen[i - 1].completed_bytes);
  }
}

// As a GPU is, as far as loading goes.
class Bf16Ops final : public fakes::ForwardingOps {
 public:
  Bf16Ops() : ForwardingOps(kernels::make_cpu_ops(1)) {}
  kernels::Dtype activation_dtype() const override { return kernels::Dtype::bf16; }
};

TEST_F(Loading, BringsPlainWeightsToTheDtypeOfActivations) {
  const std::vector<float> values = {1.0F,        -0.333251953125F, 0x1p-24F, 65504.0F,
                                     1.00390625F, 1.01171875F,      0.0F,     -2.0F};
  write({{"m.weight", fakes::f16_tensor({2, 4}, values)},
         {"fused", fakes::f16_tensor({1, 2, 4}, values)}});
  Bf16Ops bf16;
  const std::unique_ptr<Ops> f32 = kernels::make_cpu_ops(1);
  for (Ops* ops : {static_cast<Ops*>(&bf16), f32.get()}) {
    WeightLoader loader(*checkpoint_, quantization_, *ops, {}, {});
    const auto weight = loader.weight("m", {2, 4});
    const auto fused = loader.fused_experts(
        {.tensor = "fused", .experts = 1, .fused_rows = 2, .first_row = 0, .shape = {2, 4}});
    ASSERT_TRUE(weight.ok() && fused.ok());
    ASSERT_TRUE(loader.finish().ok());
    std::vector<float> wanted = values;
    if (ops == &bf16) {
      for (float& value : wanted) value = kernels::bf16_to_f32(kernels::f32_to_bf16(value));
    }
    for (const kernels::WeightView& view : {weight->view(), fused->view()}) {
      EXPECT_EQ(view.layout.format == kernels::WeightFormat::bf16, ops == &bf16);
      std::vector<float> rows(8);
      kernels::decode_rows(view, 0, 2, rows);
      EXPECT_EQ(rows, wanted);
    }
  }
}

TEST_F(Loading, ReportsTheEarliestClaimWhoseDataIsWrong) {
  FakeTensors tensors;
  add_nvfp4(tensors, "m", 60);
  for (const char* broken : {"m.23", "m.24", "m.25", "m.40"}) break_scale(tensors, broken);
  write(tensors);
  for (int round = 0; round < 20; ++round) {
    StagedOps ops(4096, kAnyNumber);
    WeightLoader loader(*checkpoint_, quantization_, ops, {}, {});
    std::vector<DeviceWeight> weights;
    for (int i = 0; i < 60; ++i) {
      auto weight = loader.weight(fmt::format("m.{}", i), {6, 32});
      ASSERT_TRUE(weight.ok());
      weights.push_back(std::move(weight).value());
    }
    const Status finished = loader.finish();
    ASSERT_FALSE(finished.ok());
    EXPECT_EQ(finished.error().message,
              "tensor 'm.23.weight_scale': a scale is not a number (code 0x7f)");
  }
}

TEST_F(Loading, PassesOnWhatTheDeviceSays) {
  FakeTensors tensors;
  add_nvfp4(tensors, "m", 10);
  write(tensors);
  StagedOps ops(4096, 9);
  WeightLoader loader(*checkpoint_, quantization_, ops, {}, {});
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(loader.weight(fmt::format("m.{}", i), {6, 32}).ok());
  const Status finished = loader.finish();
  ASSERT_FALSE(finished.ok());
  EXPECT_EQ(finished.error().code, Errc::device);
  EXPECT_EQ(finished.error().message, "upload: the cable is loose");
}

TEST_F(Loading, MayBeGivenUpAtAnyTime) {
  FakeTensors tensors;
  add_nvfp4(tensors, "m", 40);
  write(tensors);
  for (int claims = 0; claims <= 40; claims += 8) {
    const std::unique_ptr<Ops> ops = kernels::make_cpu_ops(1);
    WeightLoader loader(*checkpoint_, quantization_, *ops, {}, {});
    for (int i = 0; i < claims; ++i) {
      ASSERT_TRUE(loader.weight(fmt::format("m.{}", i), {6, 32}).ok());  // and forgotten
    }
  }
}

TEST_F(Loading, EndsWithAStop) {
  FakeTensors tensors;
  add_nvfp4(tensors, "m", 2);
  break_scale(tensors, "m.0");
  write(tensors);
  std::stop_source stop;
  const std::unique_ptr<Ops> ops = kernels::make_cpu_ops(1);
  WeightLoader loader(*checkpoint_, quantization_, *ops, {}, stop.get_token());
  ASSERT_TRUE(loader.weight("m.0", {6, 32}).ok());
  stop.request_stop();
  EXPECT_EQ(loader.weight("m.1", {6, 32}).error().message, "loading was cancelled");
  EXPECT_EQ(loader.finish().error().code, Errc::cancelled);
}

}  // namespace
}  // namespace glm::runner
