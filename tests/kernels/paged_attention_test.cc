// Pages: rows come back as they were stored, and attention over many sequences at once gives every
// token the bits it gets alone. That what it gets alone is right: MLA here, GQA in
// gqa_attention_test.cc, both against the formula in double precision.
#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "kernels/ops.h"
#include "tests/kernels/paged_cache.h"

namespace glm::kernels {
namespace {

using Floats = std::vector<float>;

double at(const Floats& values, std::int64_t index) {
  return static_cast<double>(values[static_cast<std::size_t>(index)]);
}

class PagedAttention : public testing::Test {
 protected:
  PagedAttention() { std::printf("seed %u\n", seed_); }

  Floats random(std::int64_t count) {
    Floats values(static_cast<std::size_t>(count));
    for (float& value : values) value = static_cast<float>(engine_() >> 8U) * 0x1p-23F - 1.0F;
    return values;
  }

  const std::uint32_t seed_ = std::random_device{}();
  std::mt19937 engine_{seed_};
  std::unique_ptr<Ops> ops_ = make_cpu_ops(2);
};

// Sequences of a step: how long, and how many of the last positions are its tokens.
struct Part {
  std::int64_t positions;
  std::int64_t tokens;
};
const std::vector<Part> kMixture = {{1, 1},   {64, 1}, {65, 2},  {200, 70}, {3, 3},
                                    {129, 1}, {63, 1}, {128, 0}, {5, 1},    {192, 65}};

std::vector<std::int64_t> lengths(const std::vector<Part>& parts) {
  std::vector<std::int64_t> result;
  for (const Part& part : parts) result.push_back(part.positions);
  return result;
}

TEST_F(PagedAttention, StoresRowsWhereTheTableSaysAndNowhereElse) {
  for (const std::int64_t width : {1, 7, 33, 576}) {
    PagedCache cache(engine_, width, lengths(kMixture));
    StepList list;
    for (std::size_t s = 0; s < kMixture.size(); ++s) {
      for (std::int64_t t = kMixture[s].tokens; t > 0; --t) {
        list.add(static_cast<std::int64_t>(s), kMixture[s].positions - t);
      }
    }
    const Floats x = random(list.size() * (width + 2));
    ConstTensorView rows(x.data(), Dtype::f32, {list.size(), width});
    rows.strides = {width + 2, 1};
    ops_->store_rows({.rows = cache.rows(), .tokens = list.tokens(), .x = rows});
    for (std::int64_t t = 0; t < list.size(); ++t) {
      const auto token = static_cast<std::size_t>(t);
      const float* row = cache.row(list.sequence[token], list.position[token]);
      EXPECT_TRUE(std::equal(row, row + width, x.data() + t * (width + 2)));
    }
    EXPECT_EQ(std::count_if(cache.memory().begin(), cache.memory().end(),
                            [](float value) { return !std::isnan(value); }),
              list.size() * width);
  }
}

TEST_F(PagedAttention, GathersTheFirstColumnsOfTheRowsOfASequence) {
  const std::int64_t width = 19;
  PagedCache cache(engine_, width, {70, 200, 1});
  const Floats rows = random(200 * width);
  cache.fill(1, rows);
  for (const std::int64_t positions : {0, 1, 64, 65, 200}) {
    for (const std::int64_t columns : {std::int64_t{1}, std::int64_t{13}, width}) {
      Floats out(static_cast<std::size_t>(positions * columns), NAN);
      ops_->gather_rows({.out = {out.data(), Dtype::f32, {positions, columns}},
                         .rows = cache.rows(),
                         .sequence = 1});
      for (std::int64_t p = 0; p < positions; ++p) {
        for (std::int64_t c = 0; c < columns; ++c) {
          ASSERT_EQ(at(out, p * columns + c), at(rows, p * width + c));
        }
      }
    }
  }
}

TEST_F(PagedAttention, StoresLatentsAsTheRecordsOfTheFormat) {
  struct Shape {
    std::int64_t width, latent;
  };
  for (const Shape& s : {Shape{1, 1}, Shape{40, 33}, Shape{576, 512}, Shape{139, 130}}) {
    PagedCache cache(engine_, s.width, lengths(kMixture));
    LatentCache latents(cache, s.latent);
    StepList list;
    for (std::size_t i = 0; i < kMixture.size(); ++i) {
      for (std::int64_t t = kMixture[i].tokens; t > 0; --t) {
        list.add(static_cast<std::int64_t>(i), kMixture[i].positions - t);
      }
    }
    const Floats x = random(list.size() * (s.width + 2));
    ConstTensorView rows(x.data(), Dtype::f32, {list.size(), s.width});
    rows.strides = {s.width + 2, 1};
    ops_->store_rows({.rows = latents.rows(), .tokens = list.tokens(), .x = rows});
    std::vector<std::uint8_t> want(static_cast<std::size_t>(latents.layout().size_bytes()));
    for (std::int64_t t = 0; t < list.size(); ++t) {
      const auto token = static_cast<std::size_t>(t);
      encode(latents.layout(), x.data() + t * (s.width + 2), want.data());
      const std::uint8_t* got = latents.record(list.sequence[token], list.position[token]);
      EXPECT_TRUE(std::equal(want.begin(), want.end(), got));
      EXPECT_TRUE(std::all_of(got + want.size(), got + want.size() + 16,
                              [](std::uint8_t byte) { return byte == 0xFF; }));
    }
  }
}

TEST_F(PagedAttention, GathersTheValuesOfRecords) {
  const std::int64_t width = 150;
  const std::int64_t latent = 131;
  PagedCache cache(engine_, width, {70, 200, 1});
  cache.fill(1, random(200 * width));
  LatentCache latents(cache, latent);
  for (const std::int64_t positions : {0, 1, 65, 200}) {
    for (const std::int64_t columns : {std::int64_t{1}, std::int64_t{130}, latent, width}) {
      Floats out(static_cast<std::size_t>(positions * columns), NAN);
      ops_->gather_rows({.out = {out.data(), Dtype::f32, {positions, columns}},
                         .rows = latents.rows(),
                         .sequence = 1});
      for (std::int64_t p = 0; p < positions; ++p) {
        EXPECT_TRUE(std::equal(out.begin() + p * columns, out.begin() + (p + 1) * columns,
                               cache.row(1, p)));
      }
    }
  }
}

struct MlaShape {
  std::int64_t heads;
  std::int64_t width;
  std::int64_t latent;
};
constexpr MlaShape kMlaShapes[] = {{1, 1, 1}, {3, 49, 40}, {17, 33, 33}, {2, 576, 512}};

class MlaOverPages : public PagedAttention, public testing::WithParamInterface<KvFormat> {
 protected:
  // The rows of the cache in this format; the cache has their exact values from now on.
  PagedRows rows_of(PagedCache& cache, std::int64_t latent) {
    if (GetParam() == KvFormat::plain) return cache.rows();
    return latents_.emplace(cache, latent).rows();
  }

 private:
  std::optional<LatentCache> latents_;
};
INSTANTIATE_TEST_SUITE_P(Formats, MlaOverPages,
                         testing::Values(KvFormat::plain, KvFormat::fp8_latent));

TEST_P(MlaOverPages, AbsorbedMatchesTheFormula) {
  constexpr Part kLengths[] = {{1, 1}, {33, 1}, {7, 2}, {31, 31}, {64, 3}, {65, 2}, {129, 70}};
  for (const MlaShape& s : kMlaShapes) {
    for (const Part& part : kLengths) {
      PagedCache cache(engine_, s.width, {part.positions});
      cache.fill(0, random(part.positions * s.width));
      const PagedRows paged = rows_of(cache, s.latent);
      Floats rows;
      for (std::int64_t p = 0; p < part.positions; ++p) {
        rows.insert(rows.end(), cache.row(0, p), cache.row(0, p) + s.width);
      }
      const StepList list = last_tokens(part.tokens, part.positions);
      const Floats q = random(part.tokens * s.heads * s.width);
      Floats out(static_cast<std::size_t>(part.tokens * s.heads * s.latent), NAN);
      ops_->mla_absorbed({.out = {out.data(), Dtype::f32, {part.tokens, s.heads, s.latent}},
                          .q = {q.data(), Dtype::f32, {part.tokens, s.heads, s.width}},
                          .rows = paged,
                          .tokens = list.tokens(),
                          .scale = 0.25F});
      for (std::int64_t vector = 0; vector < part.tokens * s.heads; ++vector) {
        const std::int64_t visible = part.positions - part.tokens + vector / s.heads + 1;
        std::vector<double> p;
        double top = -1e300;
        for (std::int64_t j = 0; j < visible; ++j) {
          double dot = 0;
          for (std::int64_t i = 0; i < s.width; ++i) {
            dot += at(q, vector * s.width + i) * at(rows, j * s.width + i);
          }
          p.push_back(0.25 * dot);
          top = std::max(top, p.back());
        }
        double sum = 0;
        for (double& score : p) sum += score = std::exp(score - top);
        for (std::int64_t c = 0; c < s.latent; ++c) {
          double want = 0;
          for (std::int64_t j = 0; j < visible; ++j) {
            want += p[static_cast<std::size_t>(j)] / sum * at(rows, j * s.width + c);
          }
          ASSERT_NEAR(at(out, vector * s.latent + c), want, 1e-5)
              << s.heads << " heads, width " << s.width << ", " << part.tokens << " of "
              << part.positions;
        }
      }
    }
  }
}

struct Heads {
  std::int64_t count;
  std::int64_t q_dim;
  std::int64_t out_dim;
};
using Attend = std::function<void(const ConstTensorView& q, const TensorView& out,
                                  PagedCache& cache, const StepTokens& tokens)>;

// All parts in one call, then every token in a call of its own with nothing but its sequence.
void expect_same_bits_alone(std::mt19937& engine, std::int64_t width, const Heads& heads,
                            const std::function<Floats(std::int64_t)>& random,
                            const Attend& attend) {
  PagedCache cache(engine, width, lengths(kMixture));
  std::vector<Floats> rows;
  StepList list;
  for (std::size_t s = 0; s < kMixture.size(); ++s) {
    rows.push_back(random(kMixture[s].positions * width));
    cache.fill(static_cast<std::int64_t>(s), rows.back());
    for (std::int64_t t = kMixture[s].tokens; t > 0; --t) {
      list.add(static_cast<std::int64_t>(s), kMixture[s].positions - t);
    }
  }
  const std::int64_t q_row = heads.count * heads.q_dim;
  const std::int64_t out_row = heads.count * heads.out_dim;
  const Floats q = random(list.size() * q_row);
  Floats together(static_cast<std::size_t>(list.size() * out_row), NAN);
  attend({q.data(), Dtype::f32, {list.size(), heads.count, heads.q_dim}},
         {together.data(), Dtype::f32, {list.size(), heads.count, heads.out_dim}}, cache,
         list.tokens());
  for (std::int64_t t = 0; t < list.size(); ++t) {
    const auto token = static_cast<std::size_t>(t);
    const std::int64_t positions = list.position[token] + 1;
    PagedCache own(engine, width, {positions});
    const Floats& all = rows[static_cast<std::size_t>(list.sequence[token])];
    own.fill(0, Floats(all.begin(), all.begin() + positions * width));
    Floats alone(static_cast<std::size_t>(out_row), NAN);
    attend({q.data() + t * q_row, Dtype::f32, {1, heads.count, heads.q_dim}},
           {alone.data(), Dtype::f32, {1, heads.count, heads.out_dim}}, own,
           last_tokens(1, positions).tokens());
    ASSERT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + t * out_row))
        << "token " << t;
  }
}

TEST_P(MlaOverPages, ATokenGetsTheSameBitsInAnyCompany) {
  for (const MlaShape& s : kMlaShapes) {
    expect_same_bits_alone(
        engine_, s.width, {.count = s.heads, .q_dim = s.width, .out_dim = s.latent},
        [&](std::int64_t count) { return random(count); },
        [&](const ConstTensorView& q, const TensorView& out, PagedCache& cache,
            const StepTokens& tokens) {
          ops_->mla_absorbed({.out = out,
                              .q = q,
                              .rows = rows_of(cache, s.latent),
                              .tokens = tokens,
                              .scale = 0.25F});
        });
  }
}

TEST_F(PagedAttention, GqaGivesATokenTheSameBitsInAnyCompany) {
  struct Shape {
    std::int64_t kv_heads, group, dim, v_dim;
  };
  for (const Shape& s :
       {Shape{1, 1, 1, 1}, Shape{2, 3, 19, 10}, Shape{3, 1, 8, 33}, Shape{1, 12, 128, 128}}) {
    const std::int64_t heads = s.kv_heads * s.group;
    expect_same_bits_alone(
        engine_, s.kv_heads * (s.dim + s.v_dim),
        {.count = heads, .q_dim = s.dim, .out_dim = s.v_dim},
        [&](std::int64_t count) { return random(count); },
        [&](const ConstTensorView& q, const TensorView& out, PagedCache& cache,
            const StepTokens& tokens) {
          ops_->gqa_attention({.out = out,
                               .q = q,
                               .rows = cache.rows(),
                               .tokens = tokens,
                               .kv_heads = s.kv_heads,
                               .scale = 0.25F});
        });
  }
}

using PagedAttentionDeathTest = PagedAttention;

TEST_F(PagedAttentionDeathTest, RefusesATableThatPointsOutsideThePages) {
  PagedCache cache(engine_, 4, {1});
  cache.fill(0, random(4));
  StepList list;
  list.add(0, 64);  // the second page, of which the table knows nothing
  const Floats x = random(4);
  EXPECT_DEATH(
      ops_->store_rows(
          {.rows = cache.rows(), .tokens = list.tokens(), .x = {x.data(), Dtype::f32, {1, 4}}}),
      "slot < a.table.size");
}

}  // namespace
}  // namespace glm::kernels
