/* What each domain may take of the resolver, and who goes on when there is room again. */
#include "dns/share.h"

#include "../suite.h"

static struct share *
share_named(struct shares *shares, const char *text)
{
	struct dns_name name;

	ck_assert(dns_name_from_text(text, &name));
	return share_of(shares, &name);
}

static size_t
fill(struct shares *shares, struct share *share)
{
	size_t count = 0;

	while (share_has_room(shares, share)) {
		share_enter(shares, share);
		count++;
	}
	return count;
}

static void
empty(struct shares *shares, struct share *share, size_t count)
{
	while (count-- > 0)
		share_leave(shares, share);
	share_release(shares, share);
}

START_TEST(domains)
{
	static const struct {
		const char *one, *other;
		bool same;
	} cases[] = {
		{"a.example.org", "b.c.EXAMPLE.org.", true},
		{"example.org", "a.example.org", true},
		{"a.example.org", "a.example.net", false},
		{"org", "example.org", false},
		{".", "org", false},
		{"1.2.0.192.in-addr.arpa", "7.9.0.192.IN-ADDR.ARPA", true},
		{"1.2.0.192.in-addr.arpa", "1.2.1.192.in-addr.arpa", false},
		{"1.in-addr.arpa", "2.in-addr.arpa", false},
		{"1.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "2.f.8.b.d.0.1.0.0.2.ip6.arpa", true},
		{"8.b.d.0.1.0.0.2.ip6.arpa", "9.b.d.0.1.0.0.2.ip6.arpa", false},
	};
	struct shares *shares = shares_new();

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct share *one = share_named(shares, cases[i].one), *other = share_named(shares, cases[i].other);
		ck_assert_msg((one == other) == cases[i].same, "%s and %s", cases[i].one, cases[i].other);
		share_release(shares, one);
		if (other != one)
			share_release(shares, other);
	}
	shares_free(&shares);
}
END_TEST

START_TEST(one_domain_cannot_take_all)
{
	struct shares *shares = shares_new();
	struct share *greedy = share_named(shares, "greedy.example"), *other = share_named(shares, "other.example");
	size_t taken = fill(shares, greedy);

	ck_assert_uint_gt(taken, 100);
	ck_assert_uint_le(taken, SHARE_SOCKETS / SHARE_PART);
	size_t beside = fill(shares, other);
	ck_assert_uint_gt(beside, 50);
	empty(shares, other, beside);
	empty(shares, greedy, taken);
	shares_free(&shares);
}
END_TEST

START_TEST(many_domains_leave_something)
{
	enum { DOMAINS = 1000 };
	struct shares *shares = shares_new();
	struct share *dead[DOMAINS], *next;
	size_t taken[DOMAINS];
	char name[48];

	for (int i = 0; i < DOMAINS; i++) {
		snprintf(name, sizeof name, "dead%d.example%d", i, i);
		dead[i] = share_named(shares, name);
		taken[i] = fill(shares, dead[i]);
		ck_assert_uint_ge(taken[i], 1);
	}
	ck_assert_uint_lt(shares_under_way(shares), SHARE_SOCKETS);
	next = share_named(shares, "next.example");
	ck_assert(share_has_room(shares, next));
	share_release(shares, next);
	for (int i = 0; i < DOMAINS; i++)
		empty(shares, dead[i], taken[i]);
	ck_assert_uint_eq(shares_under_way(shares), 0);
	shares_free(&shares);
}
END_TEST

START_TEST(waiters_go_on_in_order)
{
	struct shares *shares = shares_new();
	struct share *share = share_named(shares, "a.example");
	struct share_waiter first, second;
	size_t taken = fill(shares, share);

	share_wait(shares, share, &first);
	share_wait(shares, share, &second);
	ck_assert_ptr_null(share_next(shares));
	share_leave(shares, share);
	share_leave(shares, share);
	ck_assert_ptr_eq(share_next(shares), &first);
	share_enter(shares, share);
	share_wait_end(shares, share, &second); /* its time was over */
	ck_assert_ptr_null(share_next(shares));
	ck_assert(!share_is_waited_for(share));
	empty(shares, share, taken - 1);
	shares_free(&shares);
}
END_TEST

SUITE_MAIN("share", domains, one_domain_cannot_take_all, many_domains_leave_something, waiters_go_on_in_order)
