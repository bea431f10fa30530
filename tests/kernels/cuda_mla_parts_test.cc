// What stands for several operations in one launch, against those operations on the same device,
// bit for bit; they have oracles of their own. Also run again from a recording, on new numbers.
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>

#include "kernels/in_parts.h"
#include "tests/kernels/cuda_fixture.h"
#include "tests/kernels/random_weight.h"

namespace glm::kernels {
namespace {

class CudaMlaParts : public CudaTest {
 protected:
  std::vector<std::int32_t> random_positions(std::int64_t tokens, std::int64_t end) {
    std::vector<std::int32_t> positions;
    for (std::int64_t t = 0; t < tokens; ++t) {
      positions.push_back(static_cast<std::int32_t>(engine_() % static_cast<unsigned>(end)));
    }
    return positions;
  }
  // Every token has a place of its own; at least one.
  std::vector<std::int32_t> places(std::int64_t tokens, std::int64_t end) {
    std::vector<std::int32_t> all;
    for (std::int64_t t = 0; t < end; ++t) all.push_back(static_cast<std::int32_t>(t));
    std::shuffle(all.begin(), all.end(), engine_);
    all.resize(static_cast<std::size_t>(std::max<std::int64_t>(tokens, 1)));
    return all;
  }
  WeightView on_device(const RandomWeight& weight) {
    ExpertsView view = weight.host();
    for (const WeightPart part : kAllWeightParts) {
      const void*& at = view.parts[static_cast<std::size_t>(part)];
      if (at != nullptr) at = device(weight.part(part));
    }
    return view.expert(0);
  }
  void* random_frequencies(std::int64_t half) {
    Floats values = random_floats(half);
    for (float& value : values) value = std::abs(value);
    return device(values);
  }
  // What `memory` holds after `enqueue`, launch by launch and twice from a recording.
  void expect_all_ways(const std::function<void()>& prepare, const std::function<void()>& parts,
                       const std::function<void()>& whole, const std::function<Bits()>& result) {
    prepare();
    parts();
    const Bits wanted = result();
    prepare();
    whole();
    EXPECT_EQ(result(), wanted);
    const std::unique_ptr<Recording> recording = gpu_->record(whole);
    ASSERT_NE(recording, nullptr);
    for (int again = 0; again < 2; ++again) {
      prepare();
      gpu_->replay(*recording);
      EXPECT_EQ(result(), wanted);
    }
  }
};

struct LatentShape {
  std::int64_t q_rank, kv_rank, turned, outputs;
};

TEST_F(CudaMlaParts, LatentsBecomeQueriesAndRows) {
  constexpr std::int64_t kPages = 5;
  for (const FormatCase& format : all_formats()) {
    for (const LatentShape& s : {LatentShape{768, 512, 64, 5120},
                                 {1536, 512, 64, 48},
                                 {8, 16, 2, 33},
                                 {264, 40, 10, 17},
                                 {7, 9, 4, 5}}) {
      if (s.outputs > 1000 && format.name != "bf16" && format.name != "int4_g32") continue;
      for (const std::int64_t tokens : {0, 1, 2, 3, 70}) {
        SCOPED_TRACE(testing::Message() << format.name << " " << tokens << " x " << s.q_rank << ", "
                                        << s.kv_rank << " -> " << s.outputs);
        const std::int64_t kept = s.kv_rank + s.turned;
        const std::int64_t width = s.q_rank + kept;
        const std::vector<std::int32_t> positions = places(tokens, kPages * kPageTokens);
        const std::vector<std::int32_t> sequences(positions.size(), 1);
        const std::vector<std::int32_t> table = {-1, -1, -1, -1, -1, 3, 0, 4, 1, 2};
        const Bits x = random(tokens * width, 3);
        const Bits blank(static_cast<std::size_t>(kPages * kPageTokens * kept), 0xFFFF);
        const auto count = static_cast<std::size_t>(tokens * s.outputs);
        const RandomWeight q_b(format, s.outputs, s.q_rank, engine_);
        void* rows = device(x);
        void* pages = device(blank);
        const Bits nothing(count, 0xFFFF);
        void* q = device(nothing);
        const TensorView both(rows, Dtype::bf16, {tokens, width});
        const MlaLatents latents{
            .q = {q, Dtype::bf16, {tokens, s.outputs}},
            .query = both.slice(1, 0, s.q_rank),
            .row = both.slice(1, s.q_rank, kept),
            .q_norm = {device(random(s.q_rank, 2)), Dtype::bf16, {s.q_rank}},
            .kv_norm = {device(random(s.kv_rank, 2)), Dtype::bf16, {s.kv_rank}},
            .eps = 1e-6F,
            .q_b = on_device(q_b),
            .inv_freq = {random_frequencies(s.turned / 2), Dtype::f32, {s.turned / 2}},
            .pairs = engine_() % 2 == 0 ? RopePairs::interleaved : RopePairs::half_split,
            .rows = {.pages = {pages, Dtype::bf16, {kPages, kPageTokens, kept}},
                     .table = {device(table), Dtype::i32, {2, kPages}}},
            .tokens = {.sequence = {device(sequences), Dtype::i32, {tokens}},
                       .position = {device(positions), Dtype::i32, {tokens}},
                       .positions_max = kPages * kPageTokens}};
        expect_all_ways(
            [&] {
              gpu_->upload(rows, std::as_bytes(std::span(x)));
              gpu_->upload(pages, std::as_bytes(std::span(blank)));
              gpu_->upload(q, std::as_bytes(std::span(nothing)));
            },
            [&] {
              gpu_->rms_norm(latents.row_norm());
              gpu_->rope(latents.row_rope());
              gpu_->store_rows(latents.store());
              in_parts(*gpu_, latents.queries());
            },
            [&] { gpu_->mla_latents(latents); },
            [&] {
              Bits all = back<std::uint16_t>(pages, blank.size());
              const Bits queries = back<std::uint16_t>(q, count);
              all.insert(all.end(), queries.begin(), queries.end());
              return all;
            });
        forget();
        if (HasFailure()) return;
      }
    }
  }
}

struct GroupedShape {
  std::int64_t heads, kv_heads, dim, half;
};

TEST_F(CudaMlaParts, ProjectionsBecomeQueriesAndRowsOfGroupedHeads) {
  constexpr std::int64_t kPages = 5;
  for (const GroupedShape& s : {GroupedShape{96, 8, 128, 32},
                                {3, 1, 128, 64},
                                {5, 5, 128, 8},
                                {17, 2, 128, 1},
                                {4, 2, 40, 10},
                                {6, 3, 7, 3}}) {
    for (const std::int64_t tokens : {0, 1, 2, 70}) {
      for (const bool normed : {true, false}) {
        const RopePairs pairs = engine_() % 2 == 0 ? RopePairs::interleaved : RopePairs::half_split;
        SCOPED_TRACE(testing::Message()
                     << tokens << " x " << s.heads << " + 2 x " << s.kv_heads << " of " << s.dim
                     << ", " << s.half << (pairs == RopePairs::interleaved ? " pairs" : " halves")
                     << (normed ? ", normed" : ""));
        const std::int64_t width = (s.heads + 2 * s.kv_heads) * s.dim;
        const std::int64_t kept = 2 * s.kv_heads * s.dim;
        const std::vector<std::int32_t> positions = places(tokens, kPages * kPageTokens);
        const std::vector<std::int32_t> sequences(positions.size(), 1);
        const std::vector<std::int32_t> table = {-1, -1, -1, -1, -1, 3, 0, 4, 1, 2};
        const Bits x = random(tokens * width, 3);
        const Bits blank(static_cast<std::size_t>(kPages * kPageTokens * kept), 0xFFFF);
        void* qkv = device(x);
        void* pages = device(blank);
        const auto norm = [&] {
          return normed ? ConstTensorView(device(random(s.dim, 2)), Dtype::bf16, {s.dim})
                        : ConstTensorView();
        };
        const GqaRows rows{.qkv = {qkv, Dtype::bf16, {tokens, width}},
                           .heads = s.heads,
                           .kv_heads = s.kv_heads,
                           .q_norm = norm(),
                           .k_norm = norm(),
                           .eps = 1e-6F,
                           .inv_freq = {random_frequencies(s.half), Dtype::f32, {s.half}},
                           .pairs = pairs,
                           .rows = {.pages = {pages, Dtype::bf16, {kPages, kPageTokens, kept}},
                                    .table = {device(table), Dtype::i32, {2, kPages}}},
                           .tokens = {.sequence = {device(sequences), Dtype::i32, {tokens}},
                                      .position = {device(positions), Dtype::i32, {tokens}},
                                      .positions_max = kPages * kPageTokens}};
        expect_all_ways(
            [&] {
              gpu_->upload(qkv, std::as_bytes(std::span(x)));
              gpu_->upload(pages, std::as_bytes(std::span(blank)));
            },
            [&] { in_parts(*gpu_, rows); }, [&] { gpu_->gqa_rows(rows); },
            [&] {
              Bits all = back<std::uint16_t>(pages, blank.size());
              for (std::int64_t t = 0; t < tokens; ++t) {
                const Bits queries =
                    back<std::uint16_t>(static_cast<std::uint16_t*>(qkv) + t * width,
                                        static_cast<std::size_t>(s.heads * s.dim));
                all.insert(all.end(), queries.begin(), queries.end());
              }
              return all;
            });
        forget();
        if (HasFailure()) return;
      }
    }
  }
}

struct NormedShape {
  std::int64_t inputs, outputs;
  std::int64_t rest = 0;  // of the outputs, by a weight of their own
};

TEST_F(CudaMlaParts, NormedLinearsAreANormAndALinear) {
  for (const FormatCase& format : all_formats()) {
    for (const NormedShape& s : {NormedShape{2048, 1344},
                                 {2048, 1344, 576},
                                 {5120, 20},
                                 {8, 40},
                                 {264, 17},
                                 {33, 5},
                                 {160, 57, 9},
                                 {32, 20, 4}}) {
      const bool hot = format.name == "bf16" || format.name == "int4_g32" ||
                       format.name == "nvfp4_multiplies" || format.name == "fp8_block";
      if (s.outputs > 1000 && !hot) continue;
      for (const std::int64_t tokens : {0, 1, 2, 3, 4, 8, 17}) {
        for (const bool with_residual : {false, true}) {
          SCOPED_TRACE(testing::Message()
                       << format.name << " " << tokens << " x " << s.inputs << " -> " << s.outputs
                       << ", of them " << s.rest << " by a rest");
          const RandomWeight weight(format, s.outputs - s.rest, s.inputs, engine_);
          const RandomWeight rest(format, std::max<std::int64_t>(s.rest, 1), s.inputs, engine_);
          const std::int64_t stride = s.outputs + 3;
          const auto count = static_cast<std::size_t>(tokens * stride);
          void* out = device(Bits(count));
          void* sum = device(Bits(static_cast<std::size_t>(tokens * s.inputs)));
          const auto rows = [&](void* memory) {
            return TensorView(memory, Dtype::bf16, {tokens, s.inputs});
          };
          NormedLinear normed{
              .out = TensorView(out, Dtype::bf16, {tokens, stride}).slice(1, 0, s.outputs),
              .norm = {.out = rows(device(Bits(static_cast<std::size_t>(tokens * s.inputs)))),
                       .x = rows(device(random(tokens * s.inputs))),
                       .weight = {device(random(s.inputs, 2)), Dtype::bf16, {s.inputs}},
                       .eps = 1e-5F},
              .weight = on_device(weight)};
          if (s.rest > 0) normed.rest = on_device(rest);
          if (with_residual) {
            normed.norm.residual = rows(device(random(tokens * s.inputs)));
            normed.norm.sum = rows(sum);
          }
          expect_all_ways(
              [&] {
                const Bits nothing(count, 0xFFFF);
                gpu_->upload(out, std::as_bytes(std::span(nothing)));
                const Bits blank(static_cast<std::size_t>(tokens * s.inputs), 0xFFFF);
                gpu_->upload(sum, std::as_bytes(std::span(blank)));
              },
              [&] { in_parts(*gpu_, normed); }, [&] { gpu_->normed_linear(normed); },
              [&] {
                Bits all = back<std::uint16_t>(out, count);
                const Bits sums =
                    back<std::uint16_t>(sum, static_cast<std::size_t>(tokens * s.inputs));
                all.insert(all.end(), sums.begin(), sums.end());
                return all;
              });
          forget();
          if (HasFailure()) return;
        }
      }
    }
  }
}

struct QueryShape {
  std::int64_t heads, nope, rank, turned;
};

TEST_F(CudaMlaParts, QueriesAreAbsorbedAndTurned) {
  for (const FormatCase& format : all_formats()) {
    for (const QueryShape& s :
         {QueryShape{20, 192, 512, 64}, {3, 16, 32, 2}, {1, 10, 136, 34}, {2, 7, 33, 6}}) {
      for (const std::int64_t tokens : {0, 1, 17, 65}) {
        if (s.heads == 20 && tokens == 65) continue;  // nothing new, and large
        SCOPED_TRACE(testing::Message() << format.name << " " << tokens << " x " << s.heads << " x "
                                        << s.nope << " -> " << s.rank);
        const std::int64_t head_rows = s.nope + 5;
        const RandomWeight weight(format, s.heads * head_rows, s.rank, engine_);
        const auto count = static_cast<std::size_t>(tokens * s.heads * (s.rank + s.turned));
        const Bits blank(count, 0xFFFF);
        void* out = device(blank);
        const std::vector<std::int32_t> positions =
            random_positions(std::max<std::int64_t>(tokens, 1), 200000);
        const MlaQueries queries{
            .out = {out, Dtype::bf16, {tokens, s.heads, s.rank + s.turned}},
            .q = {device(random(tokens * s.heads * (s.nope + s.turned))),
                  Dtype::bf16,
                  {tokens, s.heads, s.nope + s.turned}},
            .weight = on_device(weight),
            .head_rows = head_rows,
            .positions = {device(positions), Dtype::i32, {tokens}},
            .inv_freq = {random_frequencies(s.turned / 2), Dtype::f32, {s.turned / 2}},
            .pairs = engine_() % 2 == 0 ? RopePairs::interleaved : RopePairs::half_split};
        expect_all_ways([&] { gpu_->upload(out, std::as_bytes(std::span(blank))); },
                        [&] { in_parts(*gpu_, queries); }, [&] { gpu_->mla_queries(queries); },
                        [&] { return back<std::uint16_t>(out, count); });
        forget();
        if (HasFailure()) return;
      }
    }
  }
}

}  // namespace
}  // namespace glm::kernels
