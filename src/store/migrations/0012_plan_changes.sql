-- A change of plan that waits for its time. `plan_next_at` NULL: none. `plan_next` NULL beside a time: the plan that is
-- inherited.
ALTER TABLE tenants ADD COLUMN plan_next {key};
ALTER TABLE tenants ADD COLUMN plan_next_at BIGINT;
-- When the billing period under way ends, as the billing system tells it. NULL: with the calendar month, UTC.
ALTER TABLE tenants ADD COLUMN period_end BIGINT;
-- What the billing system calls the tenant. Plain, and no unique index: whose it is, is a rule of `tenancy`.
ALTER TABLE tenants ADD COLUMN billing_ref {key};
CREATE INDEX tenants_by_billing_ref ON tenants (billing_ref) WHERE billing_ref IS NOT NULL;
