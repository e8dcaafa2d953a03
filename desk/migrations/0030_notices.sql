-- Notices that leave the house: what organizations and agents want, and what became of each.
--
-- notice_settings, notice_agents, notice_webhooks    what is wanted, written as a whole by `atum notices set`
-- notifications ← notification_deliveries            one row per notification, channel and address: the key is why nothing is
--                                                    told twice
-- dispatches ← notification_deliveries               one mail or one post: what leaves at once, and how that went

create table notice_settings (
    organization_id  uuid primary key references organizations on delete cascade,
    timezone         text not null,
    mail_on          boolean not null,
    mail_from        text,
    mail_kinds       text[] not null,
    queue_addresses  text[] not null,
    gather_seconds   integer not null check (gather_seconds between 0 and 3600),
    quiet_hours      jsonb not null check (jsonb_typeof(quiet_hours) = 'object'),
    quiet_holds      text[] not null,
    set_at           timestamptz not null default now()
);
call isolate_by_organization('notice_settings');
comment on table notice_settings is 'No row: everything is told in the inbox alone.';
comment on column notice_settings.queue_addresses is 'Who gets the mail about tickets that nobody has.';
comment on column notice_settings.quiet_hours is 'Weekday to ranges of the wall clock, as a calendar has its hours.';
comment on column notice_settings.quiet_holds is 'The kinds that wait until quiet hours are over.';

create table notice_agents (
    organization_id  uuid not null references notice_settings on delete cascade,
    agent            text not null check (agent <> ''),
    address          text not null,
    mail_on          boolean not null,
    mail_kinds       text[],
    timezone         text,
    quiet_hours      jsonb check (jsonb_typeof(quiet_hours) = 'object'),
    quiet_holds      text[],
    primary key (organization_id, agent)
);
call isolate_by_organization('notice_agents');
comment on table notice_agents is 'Agents who want mail, named as tickets.assignee names them. Null: as the organization has it.';

create table notice_webhooks (
    organization_id  uuid not null references notice_settings on delete cascade,
    name             text not null check (name <> ''),
    url              text not null,
    secret           text not null,
    kinds            text[] not null,
    is_on            boolean not null,
    primary key (organization_id, name)
);
call isolate_by_organization('notice_webhooks');
comment on column notice_webhooks.secret is 'Signs each post. Kept as it is, since signing needs it; no command shows it.';

create table dispatches (
    id               uuid primary key default gen_random_uuid(),
    organization_id  uuid not null references organizations on delete cascade,
    channel          text not null check (channel in ('mail', 'webhook')),
    address          text not null,
    agent            text,
    state            text not null default 'waiting' check (state in ('waiting', 'sent', 'dead', 'dropped')),
    attempts         integer not null default 0,
    tried_at         timestamptz,
    claimed_by       uuid,
    claimed_until    timestamptz,
    error            text,
    created_at       timestamptz not null default now(),
    ended_at         timestamptz,
    unique (organization_id, id),
    check ((ended_at is null) = (state = 'waiting'))
);
create index dispatches_waiting on dispatches (organization_id, channel, address) where state = 'waiting';
create index dispatches_ended on dispatches (ended_at) where ended_at is not null;
call isolate_by_organization('dispatches');
comment on column dispatches.id is 'Also the mail''s Message-ID and the post''s webhook-id: the receiver knows a second one by it.';
comment on column dispatches.address is 'A mail address, or the name of a webhook.';
comment on column dispatches.claimed_by is 'The message that has it in hand or had it last; another may take it after claimed_until.';

create table notification_deliveries (
    organization_id  uuid not null references organizations on delete cascade,
    notification_id  uuid not null references notifications on delete cascade,
    channel          text not null check (channel in ('mail', 'webhook')),
    address          text not null,
    agent            text,
    kind             text not null,
    created_at       timestamptz not null default now(),
    held_until       timestamptz,
    dispatch_id      uuid,
    dropped          text,
    primary key (notification_id, channel, address),
    check (dispatch_id is null or dropped is null),
    foreign key (organization_id, dispatch_id) references dispatches (organization_id, id) on delete cascade
);
create index notification_deliveries_waiting on notification_deliveries (organization_id, address, agent)
    where dispatch_id is null and dropped is null;
create index notification_deliveries_of_dispatch on notification_deliveries (organization_id, dispatch_id)
    where dispatch_id is not null;
create index notification_deliveries_by_age on notification_deliveries (organization_id, created_at);
call isolate_by_organization('notification_deliveries');
comment on column notification_deliveries.agent is 'Whose mail it is; null: the queue''s.';
comment on column notification_deliveries.held_until is 'When quiet hours end; null: it need not wait for that.';
comment on column notification_deliveries.dropped is 'Why it is not told this way after all.';

-- What an inbox shows beside the unread, and what retention looks for. Neither costs a sweep anything: a new notification is
-- not in the first, and the second is of the kind that is next to free.
create index notifications_read on notifications (organization_id, recipient, created_at desc) where read_at is not null;
create index notifications_by_age on notifications using brin (created_at);

-- For `atum doctor` and /metrics: counts and ages over all organizations, never rows.
create function notices_want_mail() returns bigint
    language sql stable security definer set search_path = public, pg_temp as $$
    select count(*) from notice_settings s
     where s.mail_on and (s.queue_addresses <> '{}' or exists (select from notice_agents a
                                                                where a.organization_id = s.organization_id and a.mail_on))
$$;
comment on function notices_want_mail is 'How many organizations want mails.';

-- What waits is in partial indexes; what ended, in dispatches_ended.
create function notice_figures() returns table (
    channel text, waiting bigint, oldest_waiting_age_seconds double precision, sent bigint, dead bigint, dropped bigint
)
    language sql stable security definer set search_path = public, pg_temp as $$
    with waits as (
        select d.channel, d.created_at as since from dispatches d where d.state = 'waiting'
        union all
        select n.channel, greatest(n.created_at, n.held_until) from notification_deliveries n
         where n.dispatch_id is null and n.dropped is null
    ), ended as (
        select d.channel, d.state from dispatches d where d.ended_at > now() - interval '5 minutes'
    )
    select c.channel,
           (select count(*) from waits w where w.channel = c.channel),
           (select coalesce(greatest(extract(epoch from now() - min(w.since)), 0), 0)::float8
              from waits w where w.channel = c.channel),
           (select count(*) from ended e where (e.channel, e.state) = (c.channel, 'sent')),
           (select count(*) from ended e where (e.channel, e.state) = (c.channel, 'dead')),
           (select count(*) from ended e where (e.channel, e.state) = (c.channel, 'dropped'))
      from (values ('mail'), ('webhook')) as c (channel)
$$;
comment on function notice_figures is 'Of each channel: what waits and how long, and what ended in the last five minutes.';
